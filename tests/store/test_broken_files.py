"""Files of a run that were truncated, emptied or edited are named, and cause no traceback in any command."""

from broken_files import break_files


def test_broken_files_are_named_and_crash_nothing(tmp_path):
    found = break_files(tmp_path, cases=40, seed=0)
    assert found.tried == 40
    assert (found.tracebacks, found.hangs, found.unnoticed) == ([], [], [])
