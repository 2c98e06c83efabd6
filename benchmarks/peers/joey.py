"""Joey NMT 2.3.0, measured on its own reverse task with its two shipped configurations, on the CPU.

    python benchmarks/peers/joey.py --out FILE.json [--only rnn|transformer] [--folder benchmarks/.peers/joeynmt]

It is installed from PyPI into an environment of its own and run by its own code (inside/joey_run.py says what is
adapted, and how training seconds are told from others). The settings are those of its configs/rnn_reverse.yaml and
configs/transformer_reverse.yaml; changed are the paths, `use_cuda` and `fp16` (both off, as it does on a CPU by
itself), and the Transformer's dev set, of which it would draw 400 pairs for each validation: here all 1,000 are used.
It decodes greedily in every evaluation, as it does by itself while it trains. torch uses its default threads,
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

VERSION = "2.3.0"
HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / ".peers" / "joeynmt"
MODELS = ("rnn", "transformer")
THRESHOLD = 0.99  # exact match on the dev pairs of up to 25 symbols that seconds are counted to
# What Joey NMT imports. It asks for more: tools of its developers, parts not used here, and a protobuf that is too old
# for current tensorboard.
NEEDED = (
    "numpy pyyaml matplotlib plotly sacrebleu sacremoses sentencepiece subword-nmt tensorboard importlib_metadata "
    "packaging tqdm setuptools<81"
)
INSTALL = [["install", "--no-deps", f"joeynmt=={VERSION}"], ["install", *NEEDED.split()]]

TRAINING: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "learning_rate_min": 0.0002,
    "weight_decay": 0.0,
    "clip_grad_norm": 1.0,
    "batch_type": "sentence",
    "scheduling": "plateau",
    "patience": 5,
    "decrease_factor": 0.5,
    "early_stopping_metric": "bleu",
    "validation_freq": 1000,
    "logging_freq": 100,
    "shuffle": True,
    "print_valid_sents": [0, 3, 6],
    "keep_best_ckpts": 2,
    "overwrite": True,
}
TRAINING_OF = {
    "rnn": {"batch_size": 10, "epochs": 1},
    "transformer": {"batch_size": 12, "batch_multiplier": 2, "epochs": 5},
}


def recurrent_model() -> dict[str, Any]:
    """The `model` section of rnn_reverse.yaml: BiLSTM 64, embedding 16, Luong's general attention, input feeding."""
    half = {
        "type": "recurrent",
        "rnn_type": "lstm",
        "embeddings": {"embedding_dim": 16, "scale": False},
        "hidden_size": 64,
        "dropout": 0.1,
        "num_layers": 1,
        "activation": "tanh",
    }
    decoder = {"hidden_dropout": 0.1, "input_feeding": True, "init_hidden": "zero", "attention": "luong"}
    return {
        "initializer": "xavier_uniform",
        "embed_initializer": "normal",
        "embed_init_weight": 0.1,
        "bias_initializer": "zeros",
        "init_rnn_orthogonal": False,
        "lstm_forget_gate": 0.0,
        "encoder": half | {"bidirectional": True},
        "decoder": half | decoder,
    }


def transformer_model() -> dict[str, Any]:
    """The `model` section of transformer_reverse.yaml: 2+2 layers, width 64, 4 heads."""
    half = {
        "type": "transformer",
        "num_layers": 2,
        "num_heads": 4,
        "embeddings": {"embedding_dim": 64, "scale": True},
        "hidden_size": 64,
        "ff_size": 256,
        "dropout": 0.1,
        "layer_norm": "pre",
        "activation": "relu",
    }
    return {
        "initializer": "xavier_uniform",
        "init_gain": 1.0,
        "bias_initializer": "zeros",
        "embed_initializer": "xavier_uniform",
        "embed_init_gain": 1.0,
        "tied_embeddings": True,
        "tied_softmax": True,
        "encoder": dict(half),
        "decoder": dict(half),
    }


def configuration(model: str, data: Path, folder: Path, seed: int = 42) -> dict[str, Any]:
    """Joey NMT's configuration for `model`, on the files in `data`, its output going into `folder`; its seed is 42."""
    training = TRAINING | TRAINING_OF[model]
    side = {"max_length": reverse_data.LONGEST_IN_TRAINING, "level": "word", "voc_limit": 100, "voc_min_freq": 0}
    files = {split: str(data / split) for split in reverse_data.SPLITS}
    subset = {"sample_train_subset": 40_000} if model == "transformer" else {}
    return {
        "name": f"reverse_{model}",
        "joeynmt_version": VERSION,
        "model_dir": str(folder),
        "use_cuda": False,
        "fp16": False,
        "random_seed": seed,
        "data": files
        | subset
        | {"dataset_type": "plain", "src": {"lang": "src", **side}, "trg": {"lang": "trg", **side}},
        "testing": {
            "n_best": 1,
            "beam_size": 1,
            "beam_alpha": 1.0,
            "eval_metrics": ["bleu"],
            "max_output_length": 30,
            "batch_size": training["batch_size"],
            "batch_type": "sentence",
            "return_prob": "none",
            "sacrebleu_cfg": {"tokenize": "13a"},
        },
        "training": training,
        "model": recurrent_model() if model == "rnn" else transformer_model(),
    }


def curve(evaluations: list[dict[str, Any]], dev: list[reverse_data.Pair]) -> list[dict[str, Any]]:
    """For each evaluation point: updates, training seconds so far, BLEU, and exact match as counts."""
    return [
        {key: point[key] for key in ("update", "seconds_training", "bleu")}
        | {"exact_match": reverse_data.exact_match(dev, point["decoded"])}
        for point in evaluations
    ]


def seconds_to(points: list[dict[str, Any]], threshold: float) -> float | None:
    """Training seconds at the first evaluation point whose exact match up to 25 symbols reaches `threshold`."""
    for point in points:
        if point["exact_match"]["right_to_25"] >= threshold * point["exact_match"]["of_to_25"]:
            return float(point["seconds_training"])
    return None


def measure_model(
    model: str, python: Path, folder: Path, data: Path, threads: int | None, seed: int = 42
) -> dict[str, Any]:
    """Train one of MODELS with the interpreter `python` and give its figures."""
    settings, result = folder / f"{model}.json", folder / f"{model}.result.json"
    settings.write_text(json.dumps(configuration(model, data, folder / model, seed), indent=1), encoding="utf-8")
    command = [str(python), str(HERE / "inside" / "joey_run.py"), str(settings), str(result)]
    call(command, f"Training Joey NMT's {model}", folder / f"{model}.log", threads)
    ran = json.loads(result.read_text(encoding="utf-8"))
    points = curve(ran["evaluations"], reverse_data.read(data, "dev"))
    test = reverse_data.exact_match(reverse_data.read(data, "test"), ran["test"]["decoded"])
    kept = ("versions", "threads", "parameters", "updates", "target_tokens", "seconds_training", "seconds_in_all")
    return {key: ran[key] for key in kept} | {
        "tokens_per_second": ran["target_tokens"] / ran["seconds_training"],
        "decoding": "greedy",
        "curve": points,
        "threshold": THRESHOLD,
        "seconds_to_threshold": seconds_to(points, THRESHOLD),
        "final_dev": {"bleu": points[-1]["bleu"], "exact_match": points[-1]["exact_match"]},
        "final_test": {"bleu": ran["test"]["bleu"], "exact_match": test},
    }


def measure(
    folder: Path = FOLDER, only: str | None = None, threads: int | None = None, seed: int = 42
) -> dict[str, Any]:
    """Install Joey NMT into `folder` if it isn't there, train its models (or `only` one) and give the figures.

    torch uses `threads` threads, its default number if that is None. Seconds are wall-clock, tokens are target tokens
    with each sentence's end token. Raises NotMeasuredError, in words for a reader, where it can't be installed or
    fails.
    """
    folder = folder.resolve()
    python, installing = environment(folder, INSTALL, "Joey NMT")
    data = reverse_data.write(folder / "data")
    return {
        "toolkit": "Joey NMT",
        "version": VERSION,
        "device": "cpu",
        "cores": os.cpu_count(),
        "threads": threads or "torch's default",
        "OMP_PROC_BIND": os.environ.get("OMP_PROC_BIND", ""),
        "seconds_installing": installing,
        "load_average_before": os.getloadavg()[0],
        "models": {
            name: measure_model(name, python, folder, data, threads, seed) for name in MODELS if only in (None, name)
        },
    }


def main() -> None:
    """The command line: measure and write the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure Joey NMT on its reverse task.")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--only", choices=MODELS, help="measure one of the two models")
    parser.add_argument("--threads", type=int, help="threads of torch (its own default if left out)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where its environment and runs lie")
    arguments = parser.parse_args()
    try:
        figures = measure(arguments.folder, arguments.only, arguments.threads)
    except NotMeasuredError as error:
        raise SystemExit(f"not measured: {error}") from None
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
