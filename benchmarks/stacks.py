"""How far a seed's weights depend on the seeds trained beside it after 20 steps: every score, scope, normaliser, model.

python benchmarks/stacks.py     writes results/stacks.md
"""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from company import COMBINATIONS, STACKS, STEPS, largest_difference  # noqa: E402

from attnbench import registry  # noqa: E402

PAGE = ROOT / "results" / "stacks.md"


def main() -> None:
    """Measures every combination, and writes the page."""
    torch.set_num_threads(1)
    sizes = ", ".join(f"{size}" for size in STACKS)
    lines = [
        "# One seed in stacks of several sizes",
        "",
        f"`python benchmarks/stacks.py` trains one seed for {STEPS} steps by itself and in stacks of "
        f"{', '.join(map(str, STACKS))} seeds, and compares its weights: the largest absolute difference of any weight "
        f"(torch {torch.__version__}, one thread). In float64 all agree to 1e-9, which a test requires; in float32, in "
        "which attnbench trains, what remains is rounding.",
        "",
        f"| model | score | scope | normaliser | float64, any size | float32: {sizes} |",
        "|---|---|---|---|---:|---:|",
    ]
    for kind, score, scope, normaliser, options in COMBINATIONS:
        part = kind, score, scope, normaliser, options
        exact = max(largest_difference(*part, torch.float64, size) for size in STACKS)
        single = [largest_difference(*part, torch.float32, size) for size in STACKS]
        named = " ".join([scope, *options.values()])
        cells = ", ".join("0" if value == 0 else f"{value:.0e}" for value in single)
        used = normaliser if registry.scope.entry(scope).takes("normaliser") else "–"
        lines.append(f"| {kind} | {score} | {named} | {used} | {exact:.0e} | {cells} |")
        print(lines[-1], flush=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
