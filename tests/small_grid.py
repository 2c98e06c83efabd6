"""A grid that trains in a moment, for real."""

from pathlib import Path

SMALL = """
name: small
seeds: 2
grid:
  score: [additive, dot]
  task: [copy, reverse]
data: {vocabulary: 6, min_length: 2, max_length: 4, validation_examples: 20, test_examples: 20}
model: {kind: rnn, width: 8, embedding: 4}
train: {steps: 4, batch_size: 4, valid_every: 2}
"""

BREAKS = '''
import torch
import attnbench


@attnbench.score("breaks")
class Breaks(torch.nn.Module):
    """Raises where it should score."""

    def forward(self, query, keys):
        raise RuntimeError("no score today")
'''


def write_grid(folder: Path, text: str = SMALL) -> Path:
    """Writes the grid file, and beside it a plugin with a score that raises in training."""
    (folder / "breaks.py").write_text(BREAKS)
    grid = folder / "small.yaml"
    grid.write_text(text)
    return grid


def files_below(folder: Path) -> dict[Path, bytes]:
    """Every file with its content."""
    return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
