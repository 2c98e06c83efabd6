"""The metrics: what each one means, which direction is better, its range, and how it is shown.

A column named `<metric>@<length>` holds the metric for the test sources of that length. All facts about it are those
of the metric.
"""

from collections.abc import Iterable
from dataclasses import dataclass

HIGHER, LOWER = 1, -1


@dataclass(frozen=True)
class Metric:
    """One measured quantity of a cell.

    Attributes:
        name: its column in table.csv and its name in MLflow.
        meaning: one sentence for people.
        better: HIGHER or LOWER is better; 0 where neither is.
        decimals: that a mean is shown with.
        interval_decimals: that the ends of an interval are shown with; None where no interval is shown.
        high: the largest possible value; None without a limit. The smallest is 0.
        whole: whether its values are whole numbers.
        per_pack: whether it is measured once for all seeds that are trained together, and copied to each of them.
        accuracy: whether it is a share of right answers, by which a seed learned its task or not.
        margin: differences smaller than this are equivalent by default; None where no such number is meaningful.
        missing_is_worst: whether a done seed without a value has the worst result, and not none.
    """

    name: str
    meaning: str
    better: int
    decimals: int
    interval_decimals: int | None
    high: float | None = 1.0
    whole: bool = False
    per_pack: bool = False
    accuracy: bool = False
    margin: float | None = None
    missing_is_worst: bool = False

    @property
    def direction(self) -> str:
        """ "higher" or "lower", whichever is better; "" where neither is."""
        return {HIGHER: "higher", LOWER: "lower", 0: ""}[self.better]

    def worst(self, observed: Iterable[float]) -> float:
        """The value that stands for a seed that failed, in comparisons.

        It is the worst possible value; where there is no limit, twice the worst observed one, so that a failure is
        worse than every result.
        """
        if self.better == HIGHER:
            return 0.0
        return self.high if self.high is not None else 2 * max(observed, default=1.0)

    def show(self, value: float) -> str:
        """A mean of this metric with its decimals."""
        return f"{value:,.{self.decimals}f}"


# In the order of the columns of table.csv.
_ALL = (
    Metric(
        "exact_match",
        "The share of test sentences in which every word and the end are right, under greedy decoding.",
        HIGHER,
        decimals=3,
        interval_decimals=2,
        accuracy=True,
        margin=0.02,
    ),
    Metric(
        "token_accuracy",
        "The share of words that are right, under greedy decoding.",
        HIGHER,
        decimals=3,
        interval_decimals=2,
        accuracy=True,
        margin=0.02,
    ),
    Metric(
        "loss",
        "The cross-entropy in nats per word, with the right words as input.",
        LOWER,
        decimals=3,
        interval_decimals=3,
        high=None,
        margin=0.02,
    ),
    Metric(
        "bleu",
        "BLEU of the translations, from 0 to 100.",
        HIGHER,
        decimals=1,
        interval_decimals=1,
        high=100.0,
        margin=2.0,
    ),
    Metric(
        "aer",
        "Alignment error rate: the largest weights compared with the gold links. 0 is perfect, 1 is all wrong.",
        LOWER,
        decimals=3,
        interval_decimals=2,
        margin=0.02,
    ),
    Metric(
        "alignment_mass",
        "The mean attention weight on gold links.",
        HIGHER,
        decimals=3,
        interval_decimals=2,
        margin=0.02,
    ),
    Metric(
        "alignment_entropy",
        "The entropy of the attention weights: 0 is all weight on one word, 1 is equal weight on all words.",
        0,
        decimals=3,
        interval_decimals=2,
    ),
    Metric(
        "steps_to_95",
        "The first validation step with an exact match of at least .95.",
        LOWER,
        decimals=0,
        interval_decimals=0,
        high=None,
        whole=True,
        missing_is_worst=True,
    ),
    Metric(
        "parameters",
        "The number of trained parameters of the model.",
        0,
        decimals=0,
        interval_decimals=None,
        high=None,
        whole=True,
    ),
    Metric(
        "seconds",
        "Seconds of training per cell.",
        LOWER,
        decimals=1,
        interval_decimals=1,
        high=None,
        per_pack=True,
    ),
    Metric(
        "tokens_per_second",
        "Target words trained on per second.",
        HIGHER,
        decimals=0,
        interval_decimals=0,
        high=None,
        per_pack=True,
    ),
    Metric(
        "exact_match_unseen",
        "Exact match on sources with symbols that training never showed.",
        HIGHER,
        decimals=3,
        interval_decimals=2,
        accuracy=True,
        margin=0.02,
    ),
    Metric(
        "attended",
        "The mean share of source positions with an attention weight above one millionth.",
        0,
        decimals=3,
        interval_decimals=2,
    ),
    Metric(
        "largest_weight",
        "The largest attention weight of all: 1 where at least one word looked at a single position.",
        0,
        decimals=3,
        interval_decimals=2,
        high=None,  # weights of some normalisers and scores do not sum to 1
    ),
    Metric(
        "pointing",
        "The share of target words with a gold link whose largest attention weight is on a sure or possible one.",
        HIGHER,
        decimals=3,
        interval_decimals=2,
    ),
    Metric(
        "flops",
        "Floating-point operations of the matrix products of one training step, on the longest training sources.",
        0,
        decimals=0,
        interval_decimals=None,
        high=None,
        whole=True,
    ),
    Metric(
        "phoneme_error_rate",
        "The edit distance to the nearest right pronunciation, per phoneme of it, under greedy decoding.",
        LOWER,
        decimals=3,
        interval_decimals=3,
        high=None,  # an output may be longer than the word
        margin=0.01,
    ),
)
METRICS = {metric.name: metric for metric in _ALL}


def is_metric(column: str) -> bool:
    """Whether a column is `<metric>` or `<metric>@<length>`."""
    name, at, length = column.partition("@")
    return name in METRICS and (not at or length.isdecimal())


def metric_of(column: str) -> Metric:
    """The metric of a column `<metric>` or `<metric>@<length>`.

    Raises:
        KeyError: when it is not a metric's column.
    """
    return METRICS[column.partition("@")[0]]
