"""Which letters a phoneme looks at: ten test words of the task g2p, by the model of experiments/g2p.yaml.

    python benchmarks/g2p_words.py [STEPS]

It trains additive under the scope global with one seed, and writes results/g2p_words.md. A few minutes on one core.
"""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from attnbench.analysis.heatmap import heat_map  # noqa: E402
from attnbench.grid.expand import expand  # noqa: E402
from attnbench.grid.load import load_grid  # noqa: E402
from attnbench.grid.packs import packs  # noqa: E402
from attnbench.tasks.base import EOS, SPECIAL, Examples  # noqa: E402
from attnbench.tasks.fixed_sets import test_set  # noqa: E402
from attnbench.training.alignments import read  # noqa: E402
from attnbench.training.batches import to_batch  # noqa: E402
from attnbench.training.train import Training  # noqa: E402

PAGE = ROOT / "results" / "g2p_words.md"
SEED, WORDS, LENGTHS = 0, 10, range(5, 10)


def main() -> None:
    """Trains, decodes the words and writes the page."""
    torch.set_num_threads(1)
    overrides = [f"seeds=[{SEED}]", "grid.score=[additive]", "grid.scope=[global]"]
    overrides += [f"train.steps={sys.argv[1]}", f"train.valid_every={sys.argv[1]}"] if sys.argv[1:] else []
    (pack,) = packs(expand(load_grid(ROOT / "experiments" / "g2p.yaml", overrides)).cells)
    training = Training(pack, torch.device("cpu"), lambda _: None)
    (outcome,) = training.run()
    lines = [
        "# Ten words, letter by letter",
        "",
        f"`python benchmarks/g2p_words.py`: additive, global, seed {SEED} of experiments/g2p.yaml (exact match "
        f"{outcome.metrics['exact_match']:.3f}, phoneme error rate {outcome.metrics['phoneme_error_rate']:.3f}). "
        f"The first test words of {LENGTHS.start} to {LENGTHS.stop - 1} letters, two of each length. A row is a "
        "phoneme of the output, a column a letter; a digit is the attention weight in tenths. There is no gold "
        "alignment.",
    ]
    for example in _chosen(training):
        lines += ["", *_drawn(training, example)]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _chosen(training: Training) -> list[Examples]:
    """The first two test words of each length."""
    groups = {group.source.shape[1]: group for group in test_set(*training.data)}
    return [groups[length][n : n + 1] for length in LENGTHS for n in range(WORDS // len(LENGTHS))]


def _drawn(training: Training, example: Examples) -> list[str]:
    """A word with the alignment of its own output, which may be wrong."""
    words = training.task.target_words
    steps = example.target.shape[1] + 5
    ids = training.stack.greedy(to_batch(example, training.device), steps)[0, 0].tolist()
    output = ids[: ids.index(EOS)] if EOS in ids else ids
    spoken = Examples(example.source, np.array([output]), None)
    found = read(training.stack, spoken, training.task, training.device)
    letters = "".join(found.source[0][:-1])
    listed = training.task.references(example.source)[0]  # type: ignore[attr-defined]
    right = [" ".join(words[i] for i in row if i >= len(SPECIAL)) for row in listed if row.any()]
    said = " ".join(words[i] for i in output)
    verdict = "right" if said in right else f"wrong: {' or '.join(right)}"
    picture = heat_map(found.weights[0, 0], found.source[0], found.target[0], None, colour=False).plain
    return [f"`{letters}` → {said} ({verdict})", "", "```", *(row.rstrip() for row in picture.splitlines()), "```"]


if __name__ == "__main__":
    main()
