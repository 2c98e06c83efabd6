"""yoyodyne 0.5.27, measured on the same reverse task as Joey NMT: one epoch of its attentive BiLSTM, on the CPU.

    python benchmarks/peers/yoyodyne.py --out FILE.json [--batch 10|64] [--folder benchmarks/.peers/yoyodyne]

It is installed from PyPI into an environment of its own and run by its own code (inside/yoyodyne_run.py says how).
Sizes and settings are those of Joey NMT's recurrent configuration as far as yoyodyne has them: one bidirectional layer
of 64, embedding 16, dropout 0.1, Adam at 1e-3; all else is its own default. torch uses its default threads,
or as many as --threads says: with small batches one thread can be faster than two.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import reverse_data
from environment import NotMeasuredError, call, environment

VERSION = "0.5.27"
HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".peers" / "yoyodyne"
BATCH_SIZES = (10, 64)
# It asks for torchvision, uses none of it, and can't start with one that was built for another torch.
INSTALL = [["install", f"yoyodyne=={VERSION}"], ["uninstall", "-y", "torchvision"]]
SETTINGS = {"embedding": 16, "hidden": 64, "dropout": 0.1, "learning_rate": 0.001, "seed": 42}


def measure_batch(batch: int, python: Path, folder: Path, data: Path, threads: int | None) -> dict[str, Any]:
    """Train one epoch in batches of `batch` with the interpreter `python` and give its figures."""
    name = f"batch-{batch}"
    settings, result = folder / f"{name}.json", folder / f"{name}.result.json"
    (folder / name).mkdir(exist_ok=True)
    chosen = SETTINGS | {"data": str(data), "folder": str(folder / name), "batch_size": batch}
    settings.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
    command = [str(python), str(HERE / "inside" / "yoyodyne_run.py"), str(settings), str(result)]
    call(command, f"Training yoyodyne in batches of {batch}", folder / f"{name}.log", threads)
    ran = json.loads(result.read_text(encoding="utf-8"))
    tokens = reverse_data.target_tokens(reverse_data.read(data, "train"))
    kept = ("versions", "threads", "parameters", "updates", "seconds_training", "seconds_in_all")
    return {key: ran[key] for key in kept} | {
        "batch_size": batch,
        "target_tokens": tokens,
        "tokens_per_second": tokens / ran["seconds_training"],
        "decoding": "greedy",
        "final_dev": {"exact_match": reverse_data.exact_match(reverse_data.read(data, "dev"), ran["decoded"])},
    }


def measure(folder: Path = FOLDER, only: int | None = None, threads: int | None = None) -> dict[str, Any]:
    """Install yoyodyne into `folder` if it isn't there, train one epoch at each batch size (or `only` at one).

    torch uses `threads` threads, its default number if that is None. Seconds are wall-clock, tokens are target tokens
    with each sentence's end token. Raises NotMeasuredError, in words for a reader, where it can't be installed or
    fails.
    """
    folder = folder.resolve()
    python, installing = environment(folder, INSTALL, "yoyodyne")
    data = reverse_data.write(folder / "data")
    batches = [batch for batch in BATCH_SIZES if only in (None, batch)]
    return {
        "toolkit": "yoyodyne",
        "version": VERSION,
        "device": "cpu",
        "cores": os.cpu_count(),
        "threads": threads or "torch's default",
        "OMP_PROC_BIND": os.environ.get("OMP_PROC_BIND", ""),
        "seconds_installing": installing,
        "load_average_before": os.getloadavg()[0],
        "models": {f"rnn-batch-{batch}": measure_batch(batch, python, folder, data, threads) for batch in batches},
    }


def main() -> None:
    """The command line: measure and write the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure yoyodyne on Joey NMT's reverse task.")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--batch", type=int, choices=BATCH_SIZES, help="measure one of the two batch sizes")
    parser.add_argument("--threads", type=int, help="threads of torch (its own default if left out)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where its environment and runs lie")
    arguments = parser.parse_args()
    try:
        figures = measure(arguments.folder, arguments.batch, arguments.threads)
    except NotMeasuredError as error:
        raise SystemExit(f"not measured: {error}") from None
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
