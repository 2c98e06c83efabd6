"""Shows the progress of a run: a live view on a terminal, else one line per pack."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from statistics import fmean

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from attnbench.analysis.compare.enough_seeds import too_few_seeds
from attnbench.cli.run_status import FinishedPack, RunningPack, RunStatus
from attnbench.cli.run_summary import plan_summary, stage_summary
from attnbench.engines.base import Finished, Started
from attnbench.escapes import one_line
from attnbench.estimate import about
from attnbench.messages import count
from attnbench.outcome import Progress
from attnbench.runner import Notice, Planned

FRAMES_PER_SECOND = 4
GAP, INDENT = 2, "  "
LEAST_WIDTHS = {"bar": 12, "step": 8, "loss": 10, "match": 10}  # of the columns beside a pack's label, in characters
MOST_SETTINGS = 12  # whose decisions are printed before a stage
TABLE_FRAME = 4  # lines of the results table in addition to its rows


class View:
    """A listener that keeps the status of the run and prints only errors, as for --quiet."""

    status: RunStatus

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, event: Planned | Started | Progress | Finished | Notice) -> None:
        """Handles an event."""
        match event:
            case Planned() if hasattr(self, "status"):
                self.status.extend(event)
                self.next_stage()
            case Planned():
                self.status = RunStatus(event)
                self.planned()
            case Started():
                self.status.started(event)
            case Progress():
                self.progressed(event)
            case Finished():
                self.ended(self.status.finished(event))
            case Notice():
                self.say(Text(event.text, style="yellow"))

    def planned(self) -> None:
        """Called before the run starts."""

    def next_stage(self) -> None:
        """Called before the second and later stages of a run."""

    def progressed(self, progress: Progress) -> None:
        """Called with the progress of a pack; prints the remarks on it."""
        running = self.status.progress(progress)
        if running is not None and progress.note:
            self.say(Text(f"{running.label}: {one_line(progress.note)}", style="yellow"))

    def ended(self, ended: FinishedPack) -> None:
        """Called for each finished pack; prints which of its cells failed, and why."""
        for reason, seeds in ended.failures.items():
            which = f", seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else ""
            self.say(Text.assemble(("failed: ", "bold red"), f"{ended.label}{which}: {reason}"))

    def say_plan(self) -> None:
        """Prints the summary of the plan, and whether its seeds are too few for `attnbench compare`."""
        self.say(Text(plan_summary(self.status)))
        planned = self.status.planned
        few = too_few_seeds([cell.labels for cell in planned.plan.reported])
        if planned.packs and few:
            self.say(Text(few, style="yellow"))

    def say(self, text: Text) -> None:
        """Prints a line, above the live view if there is one; lines are only broken on a terminal."""
        self.console.print(text, highlight=False, soft_wrap=not self.console.is_terminal)


class SummaryView(View):
    """Prints the summary of the plan, and which packs continue from a checkpoint."""

    def planned(self) -> None:
        """Prints the summary of the plan."""
        self.say_plan()

    def next_stage(self) -> None:
        """Prints which stage begins."""
        self.say(Text(stage_summary(self.status.planned)))

    def progressed(self, progress: Progress) -> None:
        """Prints which step a pack continues from, at its first progress."""
        running = self.status.running.get(progress.pack)
        if running is not None and running.progress is None and progress.resumed:
            self.say(Text(f"{running.label}: continues from step {progress.resumed} of {progress.steps}"))
        super().progressed(progress)


class PlainView(SummaryView):
    """Prints a line per finished pack, for logs."""

    def next_stage(self) -> None:
        """Prints which pairs are settled, and which stage begins."""
        lines = self.status.decisions()
        for line in lines[:MOST_SETTINGS]:
            self.say(Text(line))
        if len(lines) > MOST_SETTINGS:
            self.say(Text(f"… {count(len(lines) - MOST_SETTINGS, 'more setting')}"))
        super().next_stage()

    def ended(self, ended: FinishedPack) -> None:
        """Prints a line for the pack, and one for each failure."""
        packs = self.status.packs_total
        count = f"[{ended.number:{len(str(packs))}}/{packs}]"
        accuracy = "failed" if ended.exact_match is None else f"exact match {ended.exact_match:.2f}"
        self.say(Text(f"{count} {ended.label}  {accuracy}  {ended.seconds:.1f} s"))
        super().ended(ended)


class LiveView(SummaryView):
    """Shows the overall progress, the running packs and the results so far; failures are printed above it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not hasattr(self, "status"):  # the grid is still being read
            yield Text("preparing …", style="dim")
            return
        room = options.max_height or console.height
        # A copy, because rich draws in its own thread while events change the dict. At most half of the window, so that
        # the results keep some room.
        running = list(self.status.running.values())
        shown = running if len(running) <= max(1, room // 2) else running[: max(0, room // 2 - 1)]
        title = _title(self.status, options.max_width)
        yield from title
        yield _packs(shown, options.max_width, self.status.longest_label)
        lines = len(title) + len(shown)
        if hidden := len(running) - len(shown):
            yield Text(f"  … {hidden} more in training", style="dim")
            lines += 1
        decisions = self.status.decisions()
        # The results have at least half of what is left of the window.
        room_for_decisions = max(0, (room - lines) // 2 - 1)
        for line in decisions[:room_for_decisions]:
            yield Text(line, no_wrap=True, overflow="ellipsis")
            lines += 1
        table = _results(self.status, options.max_width, room - lines - TABLE_FRAME)
        # In a low window the results are left out: progress is more important, and the run ends with the table anyway.
        if table.row_count:
            yield table


@contextmanager
def watch(console: Console, quiet: bool) -> Iterator[View]:
    """Yields the view for the console: live on a terminal, plain lines elsewhere, only errors if quiet."""
    if quiet:
        yield View(console)
    elif not console.is_terminal:
        yield PlainView(console)
    else:
        view = LiveView(console)
        # Transient: the view disappears at the end, where the final table takes its place.
        with Live(view, console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True):
            yield view


def _title(status: RunStatus, width: int) -> list[RenderableType]:
    """Returns the name of the run and its stage, the progress bar of the whole, and the elapsed and remaining time.

    The stage has a line of its own where the first one has no room for it; then the bar is left out, then the name cut.
    """
    name, stage = status.planned.plan.name, status.planned.stage.name if status.planned.stage else ""
    numbers = _counts(status)
    # Also room for the times while they are not known yet, so that the layout does not change in the meantime.
    total = status.cells_total
    taken = max(len(numbers), len(f"{total}/{total} cells · 0:00:00 · about 10 min left")) + GAP
    one_line = not stage or len(f"{name} · {stage}") + GAP + LEAST_WIDTHS["bar"] + taken <= width
    has_bar = len(name) + GAP + LEAST_WIDTHS["bar"] + taken <= width
    title = Text.assemble((name, "bold"), f" · {stage}" if stage and one_line else "")
    grid = Table.grid(padding=(0, GAP, 0, 0), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=None if has_bar else max(10, width - taken))
    if has_bar:
        grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_row(title, *([_bar(status.share())] if has_bar else []), numbers)
    return [grid] if one_line else [grid, Text(f"{INDENT}{stage}", no_wrap=True, overflow="ellipsis")]


def _counts(status: RunStatus) -> Text:
    """Returns how many cells have ended and failed, and the elapsed and the remaining time."""
    left = status.seconds_left()
    elapsed = timedelta(seconds=int(status.elapsed()))
    facts = [f"{status.cells_ended}/{status.cells_total} cells", str(elapsed)]
    if status.cells_ended == status.cells_total:
        facts.append("saving results")
    elif left is not None:
        facts.append(f"{about(left)} left")
    line = Text(" · ".join(facts), no_wrap=True)
    if status.cells_failed:
        line.append(f" · {status.cells_failed} failed", "bold red")
    return line


def _bar(share: float) -> ProgressBar:
    # rich's own colour of a bar is red, which looks like an error.
    return ProgressBar(1.0, share, complete_style="cyan", finished_style="green")


def _packs(running: list[RunningPack], width: int, longest: int) -> RenderableType:
    """Returns a line per pack in training: progress bar, step, loss or "evaluating", last validation accuracy.

    In a narrow window, the bar is left out and then the loss, where the longest label of the run would be cut
    otherwise: packs whose labels begin alike could not be told apart.
    """
    numbers = [_numbers(pack.progress) for pack in running]
    widths = {
        name: GAP + max(least, *(len(line.get(name, "")) for line in numbers), 0)
        for name, least in LEAST_WIDTHS.items()
    }
    for name in ("bar", "loss"):
        if len(INDENT) + longest + GAP + sum(widths.values()) > width:
            del widths[name]
    grid = Table.grid(padding=(0, GAP, 0, 0))
    # If that is not enough, the labels are cut, not the numbers.
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=max(10, width - sum(widths.values()) - GAP))
    for name in widths:
        grid.add_column(width=LEAST_WIDTHS[name] if name == "bar" else None, no_wrap=True, style="dim")
    for pack, line in zip(running, numbers, strict=True):
        columns: dict[str, RenderableType] = {"bar": _bar(pack.fraction), **line}
        grid.add_row(Text(f"{INDENT}{pack.label}"), *(columns[name] for name in widths))
    return grid


def _numbers(progress: Progress | None) -> dict[str, str]:
    if progress is None:
        return {"step": "starting", "loss": "", "match": ""}
    match = "" if progress.exact_match is None else f"match {progress.exact_match:.2f}"
    loss = "" if progress.loss is None else f"loss {progress.loss:.3f}"
    step = f"{progress.step}/{progress.steps}"
    return {"step": step, "loss": "evaluating" if progress.evaluating else loss, "match": match}


def _results(status: RunStatus, width: int, room: int) -> Table:
    """Returns the mean exact match of the finished cells, score by task, in at most `room` rows; none in too few."""
    tasks = list(dict.fromkeys(str(c.labels["task"]) for c in status.planned.plan.cells))
    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False)
    taken = sum(max(len(task), len("failed")) + 1 + GAP for task in tasks)
    table.add_column("exact match so far", no_wrap=True, overflow="ellipsis", max_width=max(18, width - taken - GAP))
    for task in tasks:
        table.add_column(Text(task), justify="right", no_wrap=True)
    rows = list(status.rows)  # before the results, so that each has one
    results = status.results()
    first, hidden, last = _best_and_last(rows, results, room)
    for row in first:
        table.add_row(Text(row), *(_number(results, row, task) for task in tasks))
    if hidden:
        table.add_row(Text(f"… {hidden} more", style="dim"))
    for row in last:
        table.add_row(Text(row), *(_number(results, row, task) for task in tasks))
    return table


def _best_and_last(
    rows: list[str], results: Mapping[tuple[str, str], float | None], room: int
) -> tuple[list[str], int, list[str]]:
    """Returns the rows to show: all or, if these are too many, the best and those of the last results.

    Args:
        rows: in the order of their last result.
        results: by row and task.
        room: the number of lines for them, and for a line about those that are left out.

    Returns:
        The first rows, the number of rows that are left out, and the rows that follow.
    """
    if len(rows) <= room:
        return list(dict.fromkeys(row for row, _ in results)), 0, []  # without changing places
    if room < 3:
        return [], 0, []
    recent = (room - 1) // 3 or 1
    values: dict[str, list[float]] = {}
    for (row, _), value in results.items():
        values.setdefault(row, []).append(value or 0.0)
    best = sorted(rows, key=lambda row: fmean(values[row]), reverse=True)[: room - 1 - recent]
    last = [row for row in rows if row not in best][-recent:]
    return best, len(rows) - len(best) - len(last), last


def _number(results: dict[tuple[str, str], float | None], row: str, task: str) -> Text:
    if (row, task) not in results:
        return Text("")
    value = results[row, task]
    return Text("failed", style="red") if value is None else Text(f"{value:.2f}")
