"""Trains Joey NMT once, inside its own environment, and writes what happened as JSON. Started by ../joey.py.

    python joey_run.py CONFIG.json RESULT.json

CONFIG is a Joey NMT configuration. It is run by Joey NMT's own code; only this is changed, from outside:
- current torch's `ReduceLROnPlateau` no longer takes `verbose`, which Joey NMT passes: it is dropped;
- each of its validations on the dev set is timed, so that its seconds can be taken off, and its output kept;
- after training, dev (unless just validated) and test are decoded with the last weights, as in its validations.

RESULT: {"versions", "threads", "target_tokens", "seconds_training", "seconds_in_all", "evaluations": [{"update",
"seconds_training", "bleu", "decoded": [[token, ...], ...]}, ...], "test": {"bleu", "decoded"}}. All validations decode
greedily; `seconds_training` are those of training so far, without validation, checkpoints or decoding.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from joeynmt import builders, training
from joeynmt.config import parse_global_args, set_validation_args
from joeynmt.helpers import make_model_dir
from joeynmt.prediction import predict, prepare

STARTED = time.perf_counter()


def plateau_without_verbose(*arguments: Any, verbose: Any = None, **settings: Any) -> Any:
    """torch's scheduler, called the way Joey NMT calls it."""
    del verbose
    return torch.optim.lr_scheduler.ReduceLROnPlateau(*arguments, **settings)


class Watch:
    """Times the training and keeps each validation's output."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.paused = 0.0
        self.evaluations: list[dict[str, Any]] = []
        self.last: tuple[float, list[str]] = (0.0, [])

    def training_seconds(self) -> float:
        """Seconds since the start, without those of validation."""
        return time.perf_counter() - self.start - self.paused

    def keep(self, update: int, seconds: float) -> None:
        """Add the last decoding as the evaluation after `update` updates, `seconds` of training in."""
        bleu, hypotheses = self.last
        decoded = [sentence.split() for sentence in hypotheses]
        self.evaluations.append({"update": update, "seconds_training": seconds, "bleu": bleu, "decoded": decoded})

    def predict(self, *arguments: Any, **settings: Any) -> Any:
        """Joey NMT's `predict`, its BLEU and output noted."""
        outcome = predict(*arguments, **settings)
        self.last = (float(outcome[0]["bleu"]), list(outcome[2]))
        return outcome

    def validating(self, original: Any) -> Any:
        """Joey NMT's `_validate`, its seconds noted as no training."""

        def validate(manager: Any, data: Any) -> None:
            seconds = self.training_seconds()
            before = time.perf_counter()
            original(manager, data)
            self.keep(manager.stats.steps, seconds)
            self.paused += time.perf_counter() - before

        return validate


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Train by `config` and decode dev and test."""
    builders.ReduceLROnPlateau = plateau_without_verbose
    make_model_dir(Path(config["model_dir"]), overwrite=True)
    arguments = parse_global_args(config, rank=0, mode="train")
    model, train_data, dev_data, test_data = prepare(arguments, rank=0, mode="train")
    greedy = set_validation_args(arguments.test)
    manager = training.TrainManager(
        rank=0,
        model=model,
        model_dir=arguments.model_dir,
        device=arguments.device,
        n_gpu=arguments.n_gpu,
        num_workers=arguments.num_workers,
        autocast=arguments.autocast,
        seed=arguments.seed,
        train_args=arguments.train,
        dev_args=greedy,
    )
    watch = Watch()
    training.predict = watch.predict
    training.TrainManager._validate = watch.validating(training.TrainManager._validate)
    manager.train_and_validate(train_data=train_data, valid_data=dev_data)
    seconds = watch.training_seconds()

    decoding = {"model": model, "device": arguments.device, "n_gpu": 0, "args": greedy, "autocast": arguments.autocast}
    if not watch.evaluations or watch.evaluations[-1]["update"] != manager.stats.steps:
        watch.predict(data=dev_data, **decoding)
        watch.keep(manager.stats.steps, seconds)
    watch.predict(data=test_data, **decoding)
    return {
        "versions": {name: version(name) for name in ("joeynmt", "torch", "sacrebleu", "numpy")},
        "threads": torch.get_num_threads(),
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "target_tokens": int(manager.stats.total_tokens),
        "updates": int(manager.stats.steps),
        "seconds_training": seconds,
        "seconds_in_all": time.perf_counter() - STARTED,
        "evaluations": watch.evaluations,
        "test": {"bleu": watch.last[0], "decoded": [sentence.split() for sentence in watch.last[1]]},
    }


if __name__ == "__main__":
    result = run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
