"""The gate's tolerance, floor and least spread of each metric."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """The gate's defaults for a metric, in the metric's unit.

    Attributes:
        tolerance: a difference of the means up to this is never a regression.
        spread: lower bound on the seed standard deviation. A few seeds may have equal values by chance, and the next
            seeds still differ.
        floor: a fall of the mean beyond this fails even where the seeds do not prove it; see `judge`.
        relative: whether these are shares of the baseline's mean. A number of steps has no natural unit: it depends on
            the task and the learning rate.
    """

    tolerance: float
    spread: float
    floor: float
    relative: bool = False

    def scaled(self, mean: float, resolution: float = 0.0) -> "Allowance":
        """The allowance in the metric's unit.

        Args:
            mean: of the baseline.
            resolution: the distance of two values that a relative metric can take: the steps between two validations.
        """
        if not self.relative:
            return self
        return Allowance(
            max(self.tolerance * mean, resolution), max(self.spread * mean, resolution / 2), self.floor * mean
        )


# The gated metrics. The others do not depend on the code alone (seconds) or have no better direction (entropy).
ALLOWANCES = {
    "exact_match": Allowance(0.02, 0.01, 0.10),
    "token_accuracy": Allowance(0.02, 0.01, 0.10),
    "loss": Allowance(0.05, 0.02, 0.25),
    "bleu": Allowance(2.0, 1.0, 10.0),
    "aer": Allowance(0.02, 0.02, 0.10),
    "alignment_mass": Allowance(0.02, 0.02, 0.10),
    "steps_to_95": Allowance(0.20, 0.05, 0.25, relative=True),
    "exact_match_unseen": Allowance(0.02, 0.01, 0.10),
    "phoneme_error_rate": Allowance(0.02, 0.01, 0.10),
}
