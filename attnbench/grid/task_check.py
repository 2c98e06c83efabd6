"""Checks that every task of a grid has sources of all requested lengths."""

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError, Problem
from attnbench.grid.document import Document, Place, Problems
from attnbench.grid.values import Combination, Value
from attnbench.registry import REGISTRIES

MOST_LENGTHS = 10_000  # checked of a range: all lengths up to a mistyped billion would take minutes
MOST_SYMBOLS = 20_000_000  # of all tasks together: creating them takes about ten seconds


class TaskCheck:
    """Collects the distinct tasks with their data, to build each once and check its lengths."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.document, self.problems = document, problems
        self._tasks: dict[tuple[int, int], tuple[Component, Data, Combination]] = {}

    def add(self, task: Component, data: Data, combination: Combination) -> None:
        """Adds a task and its data. They are told apart by id(): the resolver returns equal ones as the same object."""
        self._tasks.setdefault((id(task), id(data)), (task, data, combination))

    def run(self) -> None:
        """Records each length for which a task has no source, and problems of the user's sentence pairs."""
        from attnbench.tasks.build import blaming, build_task  # here, because it imports NumPy
        from attnbench.tasks.listed import Listed

        symbols = sum(data.vocabulary or 0 for _, data, _ in self._tasks.values())
        if symbols > MOST_SYMBOLS:
            what = f"the vocabularies of this grid's tasks have {symbols:,} symbols in total"
            self.problems.add(self.document.place(("data", "vocabulary")), what, f"the limit is {MOST_SYMBOLS:,}")
            return
        for task, data, combination in self._tasks.values():
            try:
                built = build_task(task, data)
            except AttnbenchError as error:
                for problem in error.problems:
                    self._record(problem, combination)
                continue
            if isinstance(built, Listed) or not REGISTRIES["task"].is_builtin(task.name):
                continue  # a list need not have examples of every length, nor a custom task sources
            lengths = range(data.min_length, min(data.max_length, data.min_length + MOST_LENGTHS) + 1)
            try:
                with blaming(task):
                    # One length per task: the others usually fail for the same reason.
                    reason = next((found for length in lengths if (found := built.check(length))), None)
            except AttnbenchError as error:
                for problem in error.problems:
                    self._record(problem, combination)
                continue
            if reason:
                self.problems.add(self.document.place(combination["task"].place), reason, "change the lengths")

    def _record(self, problem: Problem, combination: Combination) -> None:
        """Records a problem of a task at the field that it names, if the grid sets it, else at the task."""
        axis = problem.where.partition(",")[0]
        head, _, field = axis.partition(".")
        value: Value | None = combination.get(axis)
        if value is not None:
            place = self.document.place(value.place)
        elif head == "data" and self.document.is_set((head, field)):
            place = self.document.place((head, field))
        elif head in ("data", "task") or not problem.where:
            place = self.document.place(combination["task"].place)
        else:
            place = Place(problem.where)  # a line of the user's own file
        self.problems.add(place, problem.what, problem.hint)
