"""What a run shows while it goes on, on a terminal of a given size."""

import dataclasses
import io
import re
from types import SimpleNamespace

import pytest
from made_up_run import plan

from attnbench.analysis.decide.settings import Rule, settings
from attnbench.analysis.decide.wording import progress
from attnbench.cli.console import Console
from attnbench.cli.live import LiveView, PlainView, View, watch
from attnbench.engines.base import Finished, Started
from attnbench.grid.packs import packs
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.grid.tune import Tuned
from attnbench.outcome import Outcome, Progress
from attnbench.runner import Notice, Planned
from attnbench.stages import Stage
from attnbench.store.index import CellSummary
from attnbench.store.status import CellState

PLAN = plan("quick", score=["additive", "scaled_dot"], task=["copy", "[b]translate"], model__width=[32], seed=[0, 1])
PACKS = packs(PLAN.cells)
TODO = {cell.id: CellState("todo") for cell in PLAN.cells}


def console(width: int = 80, height: int = 24, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=terminal, highlight=False)


def tell(view: View, states: dict[str, str] | None = None) -> None:
    """One pack is done but for one cell, two are in training, the last waits."""
    view(Planned(PLAN, PACKS, TODO | (states or {}), 2))
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
    assert "additive · [b]translate ×2 seeds" in translate
    assert translate.endswith("starting")
    assert "scaled_dot · copy ×2 seeds" in scaled
    assert scaled.endswith("400/800   loss 0.012  match 0.94")
    assert any(line.endswith("0.75") and "additive" in line for line in map(str.rstrip, table))
    assert any("[b]translate" in line for line in table)


def test_numbers_stay_whole_in_a_narrow_window(view):
    lines = frame(view, width=40)
    assert all(len(line) <= 40 for line in lines)
    assert lines[2].endswith("…  400/800   match 0.94")


@pytest.mark.parametrize(("width", "shown"), [(110, "bar loss match"), (90, "loss match"), (80, "match")])
def test_packs_can_be_told_apart_in_a_narrow_window(width, shown):
    """Labels that begin alike and differ at the end, and axes with one value, which are left out."""
    made = plan(
        "q", score=["distance temperature=0.5"], task=["copy"], model__width=[16, 24], train__steps=[9], seed=[0]
    )
    view = LiveView(console())
    made_packs = [PACKS[0].model_copy(update={"ids": (cell.id,)}) for cell in made.cells]
    view(Planned(made, made_packs, {cell.id: CellState("todo") for cell in made.cells}, 2))
    for pack in made_packs:
        view(Started(pack))
        view(Progress(pack.ids[0], 100, 250, 0.5, 0.25))
    lines = frame(view, width=width)[1:3]
    assert [line[:51] for line in lines] == [f"  distance temperature=0.5 · copy · width {w} seed 0" for w in (16, 24)]
    words = {"━": "bar", "loss": "loss", "match": "match"}
    assert all(" ".join(name for word, name in words.items() if word in line) == shown for line in lines)


def test_the_results_give_way_in_a_low_window(view):
    assert len(frame(view, height=7)) == 3
    assert len(frame(view, height=8)) == 8


def test_before_the_plan_is_known_a_placeholder_is_shown():
    assert frame(LiveView(console())) == ["preparing …"]


def test_a_failure_is_printed_as_it_comes_with_its_reason(view):
    told = " ".join(view.console.file.getvalue().split())
    assert "additive · copy ×2 seeds, seed 1: [red]NaN[/red]" in told


def test_control_characters_of_a_reason_do_not_reach_the_terminal(view):
    reason = "bad\x00 \x1b]0;title\x07\x9b2J"
    view(Finished(PACKS[2], [Outcome(PACKS[2].ids[0], "failed", 0, error=reason)]))
    told = " ".join(view.console.file.getvalue().split())
    assert told.endswith("bad� �]0;title�2J")


def test_a_reason_that_fails_a_whole_pack_is_printed_once(view):
    view(Finished(PACKS[2], [Outcome(cell, "failed", seed, error="broken") for seed, cell in enumerate(PACKS[2].ids)]))
    told = " ".join(view.console.file.getvalue().split())
    assert told.endswith("scaled_dot · copy ×2 seeds: broken")
    assert view.status.cells_failed == 3


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, to be changed."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_from_what_is_done(clock):
    """One pack and a half of four, in 30 s: 50 s are left."""
    view = LiveView(console())
    view(Planned(PLAN, PACKS, TODO, 2))
    view(Started(PACKS[0]))
    clock[0] += 20
    view(Finished(PACKS[0], []))
    view(Started(PACKS[1]))
    clock[0] += 10
    view(Progress(PACKS[1].ids[0], 400, 800, 0.1, None))
    assert view.status.share() == pytest.approx(1.5 / 4)
    assert view.status.seconds_left() == pytest.approx(50)


def test_the_time_left_never_grows_while_nothing_changes(clock):
    """It counts down, also while a pack is evaluated, and disappears when the time is up."""
    view = LiveView(console())
    view(Planned(PLAN, PACKS, TODO, 1))
    view(Started(PACKS[0]))
    clock[0] += 10
    view(Progress(PACKS[0].ids[0], 400, 800, 0.1, None))
    assert view.status.seconds_left() == pytest.approx(70)
    clock[0] += 30
    view(Progress(PACKS[0].ids[0], 400, 800, 0.1, None, evaluating=True))
    assert view.status.seconds_left() == pytest.approx(40)
    clock[0] += 40
    assert view.status.seconds_left() is None
    assert "left" not in frame(view)[0]


def test_the_elapsed_time_never_jumps_back(clock):
    """Not even at the first start of a pack, from which on the time left is estimated."""
    view = LiveView(console())
    view(Planned(PLAN, PACKS, TODO, 2))
    clock[0] += 9
    assert "0:00:09" in frame(view)[0]
    view(Started(PACKS[0]))
    assert "0:00:09" in frame(view)[0]
    clock[0] += 10
    view(Progress(PACKS[0].ids[0], 400, 800, 0.1, None))
    assert view.status.seconds_left() == pytest.approx(70)


def test_what_was_done_before_is_counted():
    """Half of the cells: in the numbers, in the bar and among the results; one of them has failed."""
    before = [id_ for pack in PACKS[:2] for id_ in pack.ids]
    states = TODO | {id_: CellState("done", kept="done", exact_match=0.25) for id_ in before}
    states[before[1]] = CellState("failed", "broken", kept="failed")
    view = LiveView(console())
    view(Planned(PLAN, PACKS[2:], states, 2))
    assert view.status.share() == pytest.approx(1 / 2)
    view(Started(PACKS[2]))
    view(Finished(PACKS[2], [Outcome(cell, "done", 0, {"exact_match": 0.75}) for cell in PACKS[2].ids]))
    assert view.status.share() == pytest.approx(3 / 4)
    head, _, *table = frame(view)
    assert "6/8 cells" in head
    assert [line.split()[-2:] for line in table if line[1:].startswith(("add", "scaled"))] == [
        ["0.25", "0.25"],
        ["scaled_dot", "0.75"],
    ]


def test_with_a_limit_the_cells_that_are_not_trained_now_are_not_counted():
    view = LiveView(console())
    view(Planned(PLAN, PACKS[:1], TODO, 2))
    assert "0/2 cells" in frame(view)[0]


def test_a_pack_that_continues_says_so_and_its_earlier_steps_take_no_time(clock):
    """A quarter of the first of four packs took 10 s; a quarter of it and three packs are left: 130 s."""
    for kind in (LiveView, PlainView):
        view = kind(console())
        view(Planned(PLAN, PACKS, TODO, 1))
        view(Started(PACKS[0]))
        view(Progress(PACKS[0].ids[0], 400, 800, 0.1, None, resumed=400))
        assert view.status.seconds_left() is None
        clock[0] += 10
        view(Progress(PACKS[0].ids[0], 600, 800, 0.1, None, resumed=400))
        assert view.status.share() == pytest.approx(0.75 / 4)
        assert view.status.seconds_left() == pytest.approx(130)
        told = " ".join(view.console.file.getvalue().split())
        assert told.count("additive · copy ×2 seeds: continues from step 400 of 800") == 1


@pytest.mark.parametrize("kind", [LiveView, PlainView, View])
def test_a_remark_on_a_pack_is_printed(kind):
    view = kind(console())
    view(Planned(PLAN, PACKS, TODO, 1))
    view(Started(PACKS[0]))
    view(Progress(PACKS[0].ids[0], 0, 800, None, None, note="its checkpoint\x1b[2J cannot be read"))
    assert "×2 seeds: its checkpoint�[2J cannot be read" in " ".join(view.console.file.getvalue().split())


def test_an_evaluation_is_shown(view):
    view(Progress(PACKS[2].ids[0], 800, 800, 0.01, 0.5, evaluating=True))
    assert frame(view, width=120)[2].endswith("800/800   evaluating  match 0.50")


def test_the_bars_are_not_red(view):
    screen = console()
    segments = [s for line in screen.render_lines(view, screen.options, pad=False) for s in line if "━" in s.text]
    done = {segment.style.color.name for segment in segments if segment.style and segment.style.color}
    assert "cyan" in done
    assert done <= {"cyan", "green", "grey23"}  # the last is what is left to do


def finish_all(combinations: int, tasks: tuple[str, ...] = ("copy",), running: int = 2) -> LiveView:
    """Combination n has the exact match n / 100; the last packs are still in training."""
    made = plan("quick", score=[f"score{n:02}" for n in range(combinations)], task=list(tasks), seed=[0, 1])
    made_packs = packs(made.cells)
    view = LiveView(console())
    view(Planned(made, made_packs, {cell.id: CellState("todo") for cell in made.cells}, running))
    for number, pack in enumerate(made_packs):
        view(Started(pack))
        if number < len(made_packs) - running:
            exact = {"exact_match": (number // len(tasks)) / 100}
            view(Finished(pack, [Outcome(cell, "done", 0, exact) for cell in pack.ids]))
    return view


@pytest.mark.parametrize("height", [24, 20, 12])
@pytest.mark.parametrize("combinations", [18, 22, 32])
def test_results_that_do_not_fit_are_the_best_and_the_last(combinations, height):
    lines = [line.removeprefix(" ") for line in frame(finish_all(combinations), height=height)]
    assert len(lines) <= height
    assert all(len(line) <= 80 for line in lines)
    rows = [line.split(" ")[0] for line in lines if line.startswith(("score", "…"))]
    finished = combinations - 2
    room = height - 3 - 4
    if finished <= room:
        assert rows == [f"score{n:02}" for n in range(finished)]
        return
    assert len(rows) == room
    place = rows.index("…")
    assert f"… {finished - room + 1} more" in "\n".join(lines)
    assert rows[:place] == [f"score{n:02}" for n in range(finished - 1, finished - 1 - place, -1)]
    # All of the last results are among the best here, so these are the last of the others.
    assert rows[place + 1 :] == [f"score{n:02}" for n in range(finished - room + 1, finished - place)]


def test_the_last_result_is_shown_although_it_is_the_worst():
    view = finish_all(30, running=1)
    last = view.status.planned.packs[-1]
    view(Finished(last, [Outcome(cell, "done", 0, {"exact_match": 0.0}) for cell in last.ids]))
    lines = [line.split() for line in frame(view) if line.startswith(" score")]
    assert lines[0] == ["score28", "0.28"]
    assert lines[-1] == ["score29", "0.00"]


def test_seeds_that_were_spread_over_packs_have_one_mean():
    view = LiveView(console())
    view(Planned(PLAN, PACKS, TODO, 2))
    for pack, exact in zip(
        (PACKS[0].model_copy(update={"ids": (id_,)}) for id_ in PACKS[0].ids), (0.2, 0.6), strict=True
    ):
        view(Started(pack))
        view(Finished(pack, [Outcome(pack.ids[0], "done", 0, {"exact_match": exact})]))
    assert list(view.status.results().values()) == [pytest.approx(0.4)]


def test_packs_in_training_that_do_not_fit_are_counted():
    lines = frame(finish_all(40, running=20), height=24)
    assert len(lines) <= 24
    assert sum(line.endswith("starting") for line in lines) == 11
    assert "  … 9 more in training" in lines


def test_plain_lines_say_each_pack_and_each_failure():
    plain = PlainView(console(terminal=False))
    tell(plain)
    plain(Notice("the server went away"))
    lines = plain.console.file.getvalue().splitlines()
    assert lines[0] == "quick: 8 cells, 8 to train in 4 packs on 2 workers"
    assert lines[1] == "2 seeds cannot decide between 2 scores: 6 or more can"
    assert lines[2].startswith("[1/4] additive · copy ×2 seeds  exact match 0.75  0.")
    assert lines[3] == "failed: additive · copy ×2 seeds, seed 1: [red]NaN[/red]"
    assert lines[4:] == ["the server went away"]


def test_seeds_that_are_not_needed_count_among_those_that_could_decide():
    """A resumed run with `decide` has few cells that are due, because its pairs are settled."""
    every = plan("d", score=["a", "b"], seed=range(20)).cells
    few, rest = [c for c in every if c.labels["seed"] < 2], [c for c in every if c.labels["seed"] >= 2]
    todo = {cell.id: CellState("todo") for cell in few}
    for unneeded, waiting, said in ([rest, [], False], [[], rest, False], [[], [], True]):
        plain = PlainView(console(terminal=False))
        plain(Planned(Plan("d", (), few, [], waiting=waiting, unneeded=unneeded), packs(few), todo, 1))
        assert ("cannot decide" in plain.console.file.getvalue()) == said


def test_the_first_line_counts_the_same_cells_at_every_stage_of_decide():
    """Those of all seeds that may be trained; beside it, how many of them wait and how many are not needed."""
    every = plan("d", score=["a", "b"], seed=range(20)).cells
    due, rest = [c for c in every if c.labels["seed"] < 8], [c for c in every if c.labels["seed"] >= 8]
    tuned = {"tuning": TUNING, "tuned": [CHOICE]}
    for stage, packs_now, expected in (
        (Plan("d", (), [], [], waiting=every, **tuned), packs(TUNING), "40 reported cells and 2 of tuning, 2 to train"),
        (Plan("d", (), due, [], waiting=rest), packs(due), "40 cells, 24 wait for a decision, 16 to train"),
        (Plan("d", (), due, [], unneeded=rest), [], "40 cells, 24 not needed, 16 done before, nothing to train"),
    ):
        plain = PlainView(console(terminal=False))
        state = CellState("todo") if packs_now else CellState("done")
        states = {cell.id: state for cell in stage.trained}
        plain(Planned(stage, packs_now, states, 1, stage=Stage(stage, decides=True)))
        assert plain.console.file.getvalue().startswith(f"d: at most {expected}")


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
    plain = PlainView(console(terminal=False))
    plain(Planned(PLAN, PACKS[1:], states, 1, frozenset([first])))
    assert plain.console.file.getvalue().splitlines()[-2].startswith("quick: 8 cells, 1 reused, 1 failed before (")
    plain = PlainView(console(terminal=False))
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


# --- stages

TUNING = [
    PlannedCell(f"t{n}", c.cell.model_copy(update={"tuning": True}), c.labels | {"train.clip": 5.0})
    for n, c in enumerate(PLAN.cells[:2])
]
CHOICE = Tuned(PLAN.cells[0].labels, ({"train.clip": 5.0}, {"train.clip": 9.0}), (("t0",), ("t1",)), None)


def stages(view: View) -> None:
    """A pack of tuning, then the packs of the grid."""
    first = Plan("quick", PLAN.axes, [], [], TUNING, [CHOICE], waiting=PLAN.cells)
    tuning = packs(TUNING)
    view(Planned(first, tuning, {cell.id: CellState("todo") for cell in TUNING}, 2, stage=Stage(first)))
    view(Started(tuning[0]))
    outcomes = [Outcome(id_, "done", 0, {"exact_match": 0.125}) for id_ in tuning[0].ids]
    view(Finished(tuning[0], outcomes))
    chosen = dataclasses.replace(CHOICE, chosen=0)
    then = Plan("quick", PLAN.axes, PLAN.cells, [], TUNING, [chosen])
    states = {cell.id: CellState("done", kept="done") for cell in TUNING} | TODO
    view(Planned(then, PACKS, states, 2, stage=Stage(then)))
    view(Started(PACKS[0]))


def test_a_log_says_which_stage_begins_and_counts_the_packs_of_all():
    plain = PlainView(console(terminal=False))
    stages(plain)
    plain(Finished(PACKS[0], [Outcome(id_, "done", 0, {"exact_match": 0.75}) for id_ in PACKS[0].ids]))
    lines = plain.console.file.getvalue().splitlines()
    assert lines[0] == "quick: 8 reported cells and 2 of tuning, 2 to train in 1 pack on 2 workers"
    assert any(line.startswith("[1/1] additive · copy · clip 5.0 ×2 seeds  exact match 0.12") for line in lines)
    assert "candidates chosen: 8 cells more to train in 4 packs" in lines
    assert any(line.startswith("[2/5] additive · copy ×2 seeds  exact match 0.75") for line in lines)


def test_the_live_view_names_the_stage_and_has_no_results_of_tuning():
    view = LiveView(console())
    stages(view)
    head, *rest = frame(view)
    assert "2/10 cells" in head
    assert not any("0.12" in line for line in rest)
    early = LiveView(console())
    plan = Plan("quick", PLAN.axes, [], [], TUNING, [CHOICE], waiting=PLAN.cells)
    early(Planned(plan, packs(TUNING), {cell.id: CellState("todo") for cell in TUNING}, 2, stage=Stage(plan)))
    assert frame(early)[0].startswith("quick · tuning ")


def test_between_looks_each_setting_has_its_settled_and_open_pairs():
    rule = Rule("score", "exact_match", 0.02, 2, 20)
    cells = {cell.id: cell.labels for cell in plan("d", score=["a", "b", "c"], seed=range(20)).cells}
    ended = {}
    for id_, labels in cells.items():
        if labels["seed"] < 10:
            # a is the best in each seed; b and c win half of them.
            wins = labels["seed"] % 2 == (labels["score"] == "b")
            value = 0.9 if labels["score"] == "a" else 0.5 * wins
            ended[id_] = CellSummary("done", {"exact_match": value}, None, (), 500, {}, "")
    found = tuple(settings(cells, ended, rule))
    assert progress(found)[0].startswith("copy: ")
    plain, live = PlainView(console(terminal=False)), LiveView(console(120))
    for view in (plain, live):
        view(Planned(PLAN, PACKS[:2], TODO, 2))
        view(Planned(PLAN, PACKS[2:], TODO, 2, stage=Stage(PLAN, found)))
    assert progress(found)[0] in plain.console.file.getvalue().splitlines()
    assert any(progress(found)[0] in line for line in frame(live, 120))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_stage_has_a_line_of_its_own_where_the_title_has_no_room_for_it(width, clock):
    """Neither the stage nor the time left is cut."""
    view, name, stage = LiveView(console(width)), "fair-comparison-of-scores", "up to 10 seeds, 0 of 6 pairs settled"
    grid = Plan(name, PLAN.axes, PLAN.cells, [])
    view(Planned(grid, PACKS, TODO, 1, stage=SimpleNamespace(name=stage, settings=(), decides=True)))
    view(Started(PACKS[0]))
    clock[0] += 100
    view(Progress(PACKS[0].ids[0], 400, 800, 0.5, None))
    first, second, *_ = lines = frame(view, width)
    assert first.startswith(name[:10])
    assert re.search(r" 0/8 cells · 0:01:40 · about \d+ min left$", first)
    assert first.startswith(f"{name} · {stage} ") == (width == 140)
    assert (second == f"  {stage}") == (width < 140)
    assert max(map(len, lines)) <= width
    low = frame(view, width, height=4)
    assert len(low) <= 4
