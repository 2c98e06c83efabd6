"""The dot product of query and key."""

from attnbench.registry import score
from attnbench.scores.base import Score


@score("dot")
class Dot(Score):
    """Dot product of query and key, without parameters.

    Formula: score(s, h) = sᵀ h
    Source: Luong, Pham & Manning 2015, §3.1 (arXiv 1508.04025)
    """
