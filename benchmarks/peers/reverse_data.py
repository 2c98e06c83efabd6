"""The data of the reverse task, drawn as Joey NMT's own generator draws it (its scripts/generate_reverse_task.py).

A source is a list of integers 0-49, its length drawn uniformly from 1-25 (training) or 1-30 (dev, test); the target is
the source reversed. 50,000 training pairs, 1,000 dev pairs, 1,000 test pairs. The same seed gives the same pairs, those
of that generator. They are written as `train`, `dev` and `test`, each as `.src` and `.trg` (one sentence a line, tokens
set apart by spaces) and as `.tsv` (source, tab, target), so that every toolkit trains and is judged on the same pairs.

    python benchmarks/peers/reverse_data.py FOLDER [--seed 42]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

SYMBOLS = 50
LONGEST_IN_TRAINING = 25
SPLITS = {"train": (50_000, 25), "dev": (1_000, 30), "test": (1_000, 30)}  # pairs, longest source

Pair = tuple[list[str], list[str]]


def pairs(number: int, longest: int, rng: np.random.RandomState) -> list[Pair]:
    """`number` pairs of a source of 1 to `longest` symbols and its reverse."""
    drawn = []
    for _ in range(number):
        source = [str(symbol) for symbol in rng.randint(0, SYMBOLS, rng.randint(1, longest + 1))]
        drawn.append((source, source[::-1]))
    return drawn


def write(folder: Path, seed: int = 42) -> Path:
    """Write the three splits into `folder` (made if need be) and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(seed)  # the old generator, whose draws Joey NMT's data are
    for split, (number, longest) in SPLITS.items():
        lines = [(" ".join(source), " ".join(target)) for source, target in pairs(number, longest, rng)]
        (folder / f"{split}.src").write_text("".join(f"{source}\n" for source, _ in lines), encoding="utf-8")
        (folder / f"{split}.trg").write_text("".join(f"{target}\n" for _, target in lines), encoding="utf-8")
        (folder / f"{split}.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in lines), encoding="utf-8")
    return folder


def read(folder: Path, split: str) -> list[Pair]:
    """The pairs of one split, as written by `write`."""
    lines = (folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines()
    return [(source.split(), target.split()) for source, target in (line.split("\t") for line in lines)]


def target_tokens(data: list[Pair]) -> int:
    """Target tokens of `data`, each sentence's end token counted: what tokens/s are counted in for all toolkits."""
    return sum(len(target) + 1 for _, target in data)


def exact_match(data: list[Pair], decoded: list[list[str]]) -> dict[str, int]:
    """How many of `data` are decoded without a fault, and of how many, split at the longest length seen in training."""
    if len(data) != len(decoded):
        raise ValueError(f"{len(decoded)} decoded sentences for {len(data)} pairs")
    counts = dict.fromkeys(("right", "of", "right_to_25", "of_to_25", "right_beyond", "of_beyond"), 0)
    for (source, target), output in zip(data, decoded, strict=True):
        part = "to_25" if len(source) <= LONGEST_IN_TRAINING else "beyond"
        right = int(output == target)
        counts["of"] += 1
        counts["right"] += right
        counts[f"of_{part}"] += 1
        counts[f"right_{part}"] += right
    return counts


def main() -> None:
    """The command line: write the data into a folder."""
    parser = argparse.ArgumentParser(description="Write the reverse task's data.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    folder = write(arguments.folder, arguments.seed)
    print(f"{folder}: {target_tokens(read(folder, 'train')):,} target tokens to train on (end tokens counted)")


if __name__ == "__main__":
    main()
