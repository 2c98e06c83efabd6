"""Asks every task of a grid whether it has sources of the lengths that are wanted of it."""

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError, Problem
from attnbench.grid.document import Document, Place, Problems
from attnbench.grid.values import Combination, Value

MOST_LENGTHS = 10_000  # of a range: asking about a mistyped billion would take minutes
MOST_SYMBOLS = 20_000_000  # of all tasks: making them takes some ten seconds


class TaskCheck:
    """The distinct tasks with their data, to be built once each and asked about their lengths."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.document, self.problems = document, problems
        self._noted: dict[tuple[int, int], tuple[Component, Data, Combination]] = {}

    def note(self, task: Component, data: Data, combination: Combination) -> None:
        """Remembers a task and its data, which the resolver gives as the same objects wherever they are equal."""
        self._noted.setdefault((id(task), id(data)), (task, data, combination))

    def run(self) -> None:
        """Notes each length that a task has no source of, and what is wrong with the user's sentence pairs."""
        from attnbench.tasks.streams import build_task  # NumPy

        symbols = sum(data.vocabulary or 0 for _, data, _ in self._noted.values())
        if symbols > MOST_SYMBOLS:
            what = f"the vocabularies of this grid's tasks have {symbols:,} symbols together"
            self.problems.add(self.document.place(("data", "vocabulary")), what, f"at most {MOST_SYMBOLS:,} are made")
            return
        for task, data, combination in self._noted.values():
            try:
                built = build_task(task, data)
            except AttnbenchError as error:
                for problem in error.problems:
                    self._add(problem, combination)
                continue
            if data.path is not None:
                continue  # a file need not have a line of every length
            for length in range(data.min_length, min(data.max_length, data.min_length + MOST_LENGTHS) + 1):
                reason = built.check(length)
                if reason:
                    self.problems.add(self.document.place(combination["task"].place), reason, "change the lengths")
                    break

    def _add(self, problem: Problem, combination: Combination) -> None:
        """Notes a task's problem at the field it names, where that is written, else at the task."""
        axis = problem.where.partition(",")[0]
        head, _, field = axis.partition(".")
        value: Value | None = combination.get(axis)
        if value is not None:
            place = self.document.place(value.place)
        elif head == "data" and self.document.written((head, field)):
            place = self.document.place((head, field))
        elif head == "data" or not problem.where:
            place = self.document.place(combination["task"].place)
        else:
            place = Place(problem.where)  # a line of the user's own file
        self.problems.add(place, problem.what, problem.hint)
