"""Claims: sentences with a rule each, written into a grid file before it is run, that `attnbench verify` decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attnbench.grid.document import KeyPath

BETTER, EQUIVALENT, AT_LEAST, AT_MOST, VARIES_MORE = KINDS = (
    "better",
    "equivalent",
    "at_least",
    "at_most",
    "varies_more",
)
DEFAULT_METRIC = "exact_match"

Setting = Mapping[str, Any]  # some axes, each with one of its values


@dataclass(frozen=True)
class Part:
    """One comparison, or one bound, of a claim.

    Attributes:
        kind: one of KINDS; it is the key that the part begins with.
        of: what sets the (first) configuration apart: A of {better: A, than: B} or of {at_least: .9, of: A}.
        than: the same of the second one, B; None for a bound.
        where: what both have.
        more_than_in: for an interaction, what both have where the difference is smaller; else None. Axes of `where`
            that it does not name are as in `where`.
        metric: a metric, or `<metric>@<length>`.
        limit: the number of the rule: `by`, `within`, or the bound; 0 for varies_more.
        in_share: for a bound that a share of the seeds fulfils, this share; None for a bound of the mean.
        place: the path of the part in its document.
    """

    kind: str
    of: Setting
    than: Setting | None = None
    where: Setting = field(default_factory=dict)
    more_than_in: Setting | None = None
    metric: str = DEFAULT_METRIC
    limit: float = 0.0
    in_share: float | None = None
    place: KeyPath = ()

    @property
    def sides(self) -> dict[str, Setting]:
        """What sets the configurations apart, by the key that it is written under."""
        first = "of" if self.kind in (AT_LEAST, AT_MOST) else self.kind
        second = "to" if self.kind == EQUIVALENT else "than"
        return {first: self.of} | ({} if self.than is None else {second: self.than})

    @property
    def conditions(self) -> dict[str, Setting]:
        """The settings in which they are compared, by the key that they are written under."""
        more = {} if self.more_than_in is None else {"more_than_in": {**self.where, **self.more_than_in}}
        return {"where": self.where} | more

    @property
    def configurations(self) -> list[Setting]:
        """The axes and values of every configuration: of `of` and `than`, for an interaction in both settings."""
        return [{**shared, **side} for shared in self.conditions.values() for side in self.sides.values()]


@dataclass(frozen=True)
class Claim:
    """A sentence, who says it, and the parts that have to hold."""

    says: str
    source: str
    parts: tuple[Part, ...]
