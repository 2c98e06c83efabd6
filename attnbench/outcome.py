"""The result of training a cell: plain data without torch, written by the store and read by the tables."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

NO_HEADS = np.zeros((0, 0, 0, 0), np.float32)  # of a model with a single head
NO_LINKS = np.zeros((0, 0, 0), bool)
NO_IMAGES = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True)
class Alignments:
    """Attention weights of a few test sentences, and of one validation sentence in the course of training.

    Shapes: weights (N,T,S); links (N,T,S), the gold links, empty (N,0,0) where the task has none;
    forming (M,T',S'): the weights of one validation sentence at the M training steps `steps`. For models with several
    heads, weights and forming are the mean over heads; heads (N,H,T,S) and forming_heads (M,H,T',S') hold each head.
    Otherwise H is 0. Rows are target words with EOS, columns are source words with EOS; padding is 0.

    Where the task has possible links beside the sure ones (see `Examples`), `possible` (N,T,S) and `forming_possible`
    (1,T',S') are the links that are not wrong. Where the sources are images, they are in `images` (N,H,W) and
    `forming_image` (1,H,W), the columns are patches, row by row, and `source` has their names: "1,1" for row 1,
    column 1. Otherwise these arrays are empty.
    """

    source: list[list[str]]
    target: list[list[str]]
    weights: np.ndarray
    links: np.ndarray
    forming_source: list[str]
    forming_target: list[str]
    forming_links: np.ndarray
    forming: np.ndarray
    steps: np.ndarray
    heads: np.ndarray = field(default_factory=lambda: NO_HEADS)
    forming_heads: np.ndarray = field(default_factory=lambda: NO_HEADS)
    possible: np.ndarray = field(default_factory=lambda: NO_LINKS)
    forming_possible: np.ndarray = field(default_factory=lambda: NO_LINKS)
    images: np.ndarray = field(default_factory=lambda: NO_IMAGES)
    forming_image: np.ndarray = field(default_factory=lambda: NO_IMAGES)


@dataclass(frozen=True)
class Outcome:
    """A finished or failed cell.

    `metrics` has every name of METRICS, and `<metric>@<length>` per test length; None where it is not defined.
    `history` is one dict per logged step: {"step", "train/loss"} and, at validations alone, {"valid/loss",
    "valid/exact_match", "valid/token_accuracy", "valid/aer", "valid/bleu", "seconds"}. `facts` are those of the user's
    own sentence pairs.
    """

    cell: str
    status: str
    seed: int
    metrics: dict[str, float | None] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    error: str | None = None
    alignments: Alignments | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, float | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Progress of a pack: its first cell's id, the step, the mean training loss, the last validation accuracy.

    `evaluating`: whether it is being validated or tested. `resumed`: the step of the checkpoint that the training
    continued from, or 0. `note`: a remark for the user, such as that a checkpoint could not be read.
    """

    pack: str
    step: int
    steps: int
    loss: float | None
    exact_match: float | None
    evaluating: bool = False
    resumed: int = 0
    note: str | None = None
