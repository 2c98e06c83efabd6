"""attnbench beside Joey NMT and yoyodyne, on Joey NMT's reverse task: training time to the same exact match."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "peers"))

import joey  # noqa: E402
import reverse_data  # noqa: E402
import yoyodyne  # noqa: E402
from environment import NotMeasuredError  # noqa: E402

Figures = dict[str, Any]
FOLDER = HERE / ".peers"
LONGEST = reverse_data.LONGEST_IN_TRAINING
# Joey NMT's recurrent model has a decoder of 64 and an encoder of 2 × 64 units; attnbench's encoder has as many units
# in all as its decoder. At width 80 the two models have as many parameters. The rates, batches and steps were chosen by
# the exact match on the dev pairs.
SYSTEMS: dict[str, Figures] = {
    "rnn": {
        "seeds": 16,
        "grid": {"score": ["general"], "scope": ["global"], "task": ["translate"]},
        "model": {
            **{"kind": "rnn", "width": 80, "embedding": 16, "cell": "lstm"},
            **{"query": "current", "input_feeding": True},
        },
        "train": {"steps": 2700, "batch_size": 16, "learning_rate": 0.008, "decay": 0.8, "valid_every": 2700},
    },
    "transformer": {
        "seeds": 8,
        "grid": {"score": ["scaled_dot"], "scope": ["self"], "task": ["translate"]},
        "model": {"kind": "transformer", "width": 64, "layers": 2, "heads": 4},
        "train": {"steps": 2600, "batch_size": 32, "learning_rate": 0.003, "decay": 0.8, "valid_every": 2600},
    },
}
# Joey NMT's task until .99: few seeds, each stops by itself, and the learning rate is chosen by tuning.
TUNED: Figures = SYSTEMS["rnn"] | {
    "seeds": 8,
    "train": {
        **{"steps": 4000, "batch_size": 16, "decay": 0.8, "valid_every": 200},
        "stop_at": {"exact_match": 0.99},
    },
    "tune": {"grid": {"train.learning_rate": [0.004, 0.008, 0.016]}, "seeds": 2},
}
JOEY_SEEDS = (42, 43, 44)
# To where Joey NMT's epoch ended, .957, when it did not reach .99.
SHORTER = {"steps": 1500, "learning_rate": 0.01, "valid_every": 1500}
AT_64 = {"steps": 150, "batch_size": 64, "valid_every": 150}


def ours() -> Figures:
    """attnbench with a worker per core: both systems, and the recurrent one's speed at batch 64."""
    data = reverse_data.write(FOLDER / "data")
    found = {name: _ours(data, name, system) for name, system in SYSTEMS.items()}
    return found | {
        f"rnn, {name}": _ours(data, "rnn", SYSTEMS["rnn"] | {"train": SYSTEMS["rnn"]["train"] | train})
        for name, train in (("shorter", SHORTER), ("batch 64", AT_64))
    }


def tuned() -> Figures:
    """attnbench until .99, with and without the tuning of the learning rate; each replica stops by itself."""
    data = reverse_data.write(FOLDER / "data")
    found = {"with tuning": _ours(data, "rnn", TUNED)}
    rate = found["with tuning"]["tuned"][0]["train.learning_rate"]
    alone = {name: value for name, value in TUNED.items() if name != "tune"}
    return found | {"chosen": _ours(data, "rnn", alone | {"train": TUNED["train"] | {"learning_rate": rate}})}


def joey_seeds() -> Figures:
    """Joey NMT's recurrent configuration with torch's default threads, for several seeds."""
    return {str(seed): _asked(lambda s=seed: joey.measure(only="rnn", seed=s), "rnn") for seed in JOEY_SEEDS}


def joey_nmt() -> Figures:
    """Joey NMT's two shipped configurations with one torch thread."""
    return {model: _asked(lambda m=model: joey.measure(only=m, threads=1), model) for model in joey.MODELS}


def joey_default() -> Figures:
    """Joey NMT's recurrent configuration with torch's default threads."""
    return {"rnn": _asked(lambda: joey.measure(only="rnn"), "rnn")}


def yoyodyne_1() -> Figures:
    """yoyodyne's attentive BiLSTM at batch 64 with one torch thread."""
    return {"rnn, batch 64": _asked(lambda: yoyodyne.measure(only=64, threads=1), "rnn-batch-64")}


def yoyodyne_default() -> Figures:
    """The same with torch's default threads."""
    return {"rnn, batch 64": _asked(lambda: yoyodyne.measure(only=64), "rnn-batch-64")}


def _asked(measure: Any, model: str) -> Figures:
    try:
        figures: Figures = measure()["models"][model]
    except NotMeasuredError as error:
        return {"not measured": str(error).splitlines()[0]}  # what follows are the lines of a log
    return figures


def _ours(data: Path, name: str, system: Figures) -> Figures:
    """The whole command, with MLflow off; what its models do on the dev pairs of up to 25 words, and on longer ones."""
    with tempfile.TemporaryDirectory() as folder:
        files = _split(data, Path(folder))
        grid = {"name": name, "data": files} | system
        file = Path(folder) / "grid.yaml"
        file.write_text(yaml.safe_dump(grid, sort_keys=False))
        command = [sys.executable, "-m", "attnbench", "run", str(file), "--results", folder, "--no-mlflow", "--quiet"]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - begun
        frame = pd.read_csv(Path(folder) / name / "table.csv")
        last = _last_validations(Path(folder), name, frame)
        plan = json.loads((Path(folder) / name / "plan.json").read_text())
    return {
        "models": len(frame),
        "wall seconds": wall,
        "core seconds per model": frame["seconds"].mean(),
        "tokens per second and worker": frame["tokens_per_second"].mean(),
        "parameters": int(frame["parameters"].iloc[0]),
        "exact match on dev, to 25": [row["valid/exact_match"] for row in last],
        "last steps": [row["step"] for row in last],
        "exact match on test, beyond": frame["exact_match"].tolist(),
        "busy": _busy(plan, frame, wall),
        "tuned": [one["candidates"][one["chosen"]] for one in plan.get("tuned", [])],
        "steps": system["train"]["steps"],
        "batch": system["train"]["batch_size"],
    }


def _busy(plan: Figures, frame: pd.DataFrame, wall: float) -> list[float]:
    """The shares of the wall time in which the packs of the reported cells were trained and tested."""
    seconds = dict(zip(frame["cell"], frame["seconds"], strict=True))
    return [sum(map(seconds.get, pack["ids"])) / wall for pack in plan["packs"] if pack["ids"][0] in seconds]


def _last_validations(results: Path, name: str, frame: pd.DataFrame) -> list[dict[str, float]]:
    from attnbench.store.store import Store

    store = Store(results / name)
    return [store.outcome(cell).history[-1] for cell in frame["cell"]]


def _split(data: Path, folder: Path) -> Figures:
    """The data of a grid: the training pairs, the dev pairs of up to 25 words, and the test pairs of more."""
    found: Figures = {"path": str(data / "train.tsv")}
    for split, use, is_long in (("dev", "validation", False), ("test", "test", True)):
        lines = (data / f"{split}.tsv").read_text().splitlines(keepends=True)
        kept = [line for line in lines if (len(line.partition("\t")[0].split()) > LONGEST) == is_long]
        (folder / f"{split}.tsv").write_text("".join(kept))
        found |= {f"{use}_path": str(folder / f"{split}.tsv"), f"{use}_examples": len(kept)}
    return found
