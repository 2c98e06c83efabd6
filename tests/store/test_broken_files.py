"""Files of a run that were cut, emptied or edited are told by name, and give no command a traceback."""

from broken_files import break_files


def test_broken_files_are_told_and_crash_nothing(tmp_path):
    found = break_files(tmp_path, cases=40, seed=0)
    assert found.tried == 40
    assert (found.tracebacks, found.unnoticed) == ([], [])
