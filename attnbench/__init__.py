"""Compare attention score functions: from a YAML grid to a comparison table and MLflow runs."""

from importlib import import_module
from typing import Any

from attnbench.errors import AttnbenchError
from attnbench.registry import model, normaliser, scope, score, task

__version__ = "0.1.0"
__all__ = [
    "Attention", "AttnbenchError", "Examples", "Output", "Seq2Seq",
    "build_normaliser", "build_score", "guard", "load", "model", "normaliser", "run", "scope", "score", "task",
]  # fmt: skip

# These import torch or pandas, which take seconds: they are imported on first use, so that `--help` is fast.
_LAZY = {
    "Attention": "attention", "build_normaliser": "parts", "build_score": "parts",
    "guard": "guarding.guard", "load": "results", "run": "runner",
    "Examples": "tasks.base", "Output": "models.base", "Seq2Seq": "models.base",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"attnbench.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'attnbench' has no attribute {name!r}")
