"""What a run shows while it goes on, on a terminal of a given size."""

import io

import pytest
from made_up_run import plan

from attnbench.cli.console import Console
from attnbench.cli.live import LiveView, PlainView, View, watch
from attnbench.engines.base import Finished, Started
from attnbench.grid.packs import packs
from attnbench.outcome import Outcome, Progress
from attnbench.runner import Notice, Planned
from attnbench.store.status import CellState

PLAN = plan("quick", score=["additive", "scaled_dot"], task=["copy", "[b]translate"], model__width=[32], seed=[0, 1])
PACKS = packs(PLAN.cells)


def console(width: int = 80, height: int = 24, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, highlight=False)


def tell(view: View, states: dict[str, str] | None = None) -> None:
    """One pack is done but for one cell, two are in training, the last waits."""
    view(Planned(PLAN, PACKS, {cell.id: CellState("todo") for cell in PLAN.cells} | (states or {}), 2))
    view(Started(PACKS[0]))
    view(Started(PACKS[1]))
    view(Progress(PACKS[0].ids[0], 400, 800, 0.5, None))
    done, broken = PACKS[0].ids
    outcomes = [Outcome(done, "done", 0, {"exact_match": 0.75}), Outcome(broken, "failed", 1, error="[red]NaN[/red]")]
    view(Finished(PACKS[0], outcomes))
    view(Progress(PACKS[0].ids[0], 800, 800, 0.4, 1.0))  # late, and to be ignored
    view(Started(PACKS[2]))
    view(Progress(PACKS[2].ids[0], 400, 800, 0.0123, 0.9375))


def frame(view: LiveView, width: int = 80, height: int = 24) -> list[str]:
    """The lines of one frame."""
    screen = console(width, height)
    options = screen.options.update(height=None)
    options.max_height = height
    return ["".join(s.text for s in line).rstrip() for line in screen.render_lines(view, options, pad=False)]


@pytest.fixture
def view() -> LiveView:
    view = LiveView(console())
    tell(view)
    return view


def test_a_frame_shows_the_whole_the_running_packs_and_the_results(view):
    head, translate, scaled, *table = frame(view, width=120)
    assert head.startswith("quick ")
    assert "2/8 cells · 0:00:0" in head
    assert head.endswith("1 failed")
    assert "additive · global · [b]translate · width 32 ×2 seeds" in translate
    assert translate.endswith("starting")
    assert "scaled_dot · global · copy · width 32 ×2 seeds" in scaled
    assert scaled.endswith("400/800   loss 0.012  match 0.94")
    assert any(line.endswith("0.75") and "additive" in line for line in map(str.rstrip, table))
    assert any("[b]translate" in line for line in table)


def test_numbers_stay_whole_in_a_narrow_window(view):
    lines = frame(view, width=70)
    assert all(len(line) <= 70 for line in lines)
    assert lines[2].endswith("400/800   loss 0.012  match 0.94")


def test_the_results_give_way_in_a_low_window(view):
    assert len(frame(view, height=7)) == 3
    assert len(frame(view, height=8)) == 8


def test_before_the_plan_is_known_a_placeholder_is_shown():
    assert frame(LiveView(console())) == ["preparing …"]


def test_a_failure_is_printed_as_it_comes_with_its_reason(view):
    told = " ".join(view.console.file.getvalue().split())
    assert "additive · global · copy · width 32 ×2 seeds, seed 1: [red]NaN[/red]" in told


def test_control_characters_of_a_reason_do_not_reach_the_terminal(view):
    reason = "bad\x00 \x1b]0;title\x07\x9b2J"
    view(Finished(PACKS[2], [Outcome(PACKS[2].ids[0], "failed", 0, error=reason)]))
    told = " ".join(view.console.file.getvalue().split())
    assert told.endswith("bad� �]0;title�2J")


def test_a_reason_that_fails_a_whole_pack_is_printed_once(view):
    view(Finished(PACKS[2], [Outcome(cell, "failed", seed, error="broken") for seed, cell in enumerate(PACKS[2].ids)]))
    told = " ".join(view.console.file.getvalue().split())
    assert told.endswith("scaled_dot · global · copy · width 32 ×2 seeds: broken")
    assert view.status.cells_failed == 3


def test_the_time_left_follows_from_what_is_done(view, monkeypatch):
    """One pack and a half of four, in 30 s: 50 s are left."""
    now = view.status.began + 30
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert view.status.share() == pytest.approx(1.5 / 4)
    assert view.status.seconds_left() == pytest.approx(50)


def test_plain_lines_say_each_pack_and_each_failure():
    plain = PlainView(console(terminal=False))
    tell(plain)
    plain(Notice("the server went away"))
    lines = plain.console.file.getvalue().splitlines()
    assert lines[0] == "quick: 8 cells, 8 to train in 4 packs on 2 workers"
    assert lines[1] == "2 seeds cannot decide between 2 scores: 6 or more can"
    assert lines[2].startswith("[1/4] additive · global · copy · width 32 ×2 seeds  exact match 0.75  0.")
    assert lines[3] == "failed: additive · global · copy · width 32 ×2 seeds, seed 1: [red]NaN[/red]"
    assert lines[4:] == ["the server went away"]


def test_the_number_of_cells_done_before_is_printed():
    first, second, third, fourth, *others = (cell.id for cell in PLAN.cells)
    states = {first: CellState("done"), second: CellState("failed"), third: CellState("stale", "changed since: a.py")}
    states |= {fourth: CellState("stale", "changed since: a.py")} | dict.fromkeys(others, CellState("todo"))
    plain = PlainView(console(terminal=False))
    plain(Planned(PLAN, PACKS[1:], states, 1))
    told = plain.console.file.getvalue()
    assert told.startswith("quick: 8 cells, 1 done before, 1 failed before (--retry-failed trains them again), ")
    first_line = told.splitlines()[0]
    assert first_line.endswith("6 to train in 3 packs on 1 worker, of them 2 cells trained with an earlier a.py: stale")
    plain(Planned(PLAN, PACKS[2:], states, 1))
    assert (
        "1 done before, 2 cells trained with an earlier a.py: stale and kept, 1 failed" in plain.console.file.getvalue()
    )


@pytest.mark.parametrize(
    ("terminal", "quiet", "kind"), [(True, False, LiveView), (False, False, PlainView), (True, True, View)]
)
def test_the_view_suits_the_console(terminal, quiet, kind):
    with watch(console(terminal=terminal), quiet) as view:
        assert type(view) is kind


def test_quiet_prints_only_failures():
    screen = console(terminal=False)
    with watch(screen, quiet=True) as view:
        tell(view)
    assert screen.file.getvalue().count("\n") == 1
    assert screen.file.getvalue().startswith("failed: ")
