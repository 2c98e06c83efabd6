"""The verdict on a part, a claim, or a file of claims."""

from enum import StrEnum


class Verdict(StrEnum):
    """What the seeds say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
