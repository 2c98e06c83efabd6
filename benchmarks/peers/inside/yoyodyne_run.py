"""Trains yoyodyne's attentive BiLSTM for one epoch, inside its own environment. Started by ../yoyodyne.py.

    python yoyodyne_run.py SETTINGS.json RESULT.json

SETTINGS: {"data": folder of the .tsv files, "folder": where its index goes, "batch_size", "embedding", "hidden",
"dropout", "learning_rate", "seed"}. Its data module, model, optimizer and trainer are used as they are, without
progress bar, log files, checkpoints or validation, so that nothing but training is timed: the seconds from the start
of the epoch's first batch to the end of its last. Dev is decoded afterwards, greedily, as its `predict` does.

RESULT: {"versions", "threads", "parameters", "updates", "seconds_training", "seconds_in_all", "decoded": [[token, ...],
...]}.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning
import torch
from yoyodyne import callbacks, data, models, optimizers, trainers

STARTED = time.perf_counter()


class Watch(lightning.pytorch.callbacks.Callback):
    """Times the epoch."""

    def __init__(self) -> None:
        self.start = self.seconds = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """The epoch begins."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        """The epoch has ended."""
        self.seconds = time.perf_counter() - self.start


def data_module(settings: dict[str, Any]) -> data.DataModule:
    """The training pairs, and dev to decode, tokens set apart by spaces."""
    tsv = Path(settings["data"])
    return data.DataModule(
        model_dir=settings["folder"],
        train=str(tsv / "train.tsv"),
        predict=str(tsv / "dev.tsv"),
        source_sep=" ",
        target_sep=" ",
        batch_size=settings["batch_size"],
    )


def attentive_lstm(settings: dict[str, Any], module: data.DataModule) -> models.SoftAttentionLSTMModel:
    """One bidirectional layer in the encoder, one layer in the decoder, attention between."""
    encoder = models.modules.LSTMEncoder(
        embedding_size=settings["embedding"],
        hidden_size=settings["hidden"],
        dropout=settings["dropout"],
        layers=1,
        bidirectional=True,
    )
    return models.SoftAttentionLSTMModel(
        source_encoder=encoder,
        embedding_size=settings["embedding"],
        decoder_hidden_size=settings["hidden"],
        decoder_layers=1,
        decoder_dropout=settings["dropout"],
        optimizer=lambda weights: optimizers.Adam(weights, lr=settings["learning_rate"]),
        vocab_size=module.vocab_size,
        target_vocab_size=module.target_vocab_size,
    )


def run(settings: dict[str, Any]) -> dict[str, Any]:
    """Train for one epoch and decode dev."""
    lightning.seed_everything(settings["seed"])
    module = data_module(settings)
    model = attentive_lstm(settings, module)
    watch, output = Watch(), Path(settings["folder"]) / "dev.txt"
    trainer = trainers.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[watch, callbacks.PredictionWriter(str(output), target_sep=" ")],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=module)
    updates = trainer.global_step
    trainer.predict(model, datamodule=module)
    decoded = [line.split(" ") for line in output.read_text(encoding="utf-8").splitlines()]
    return {
        "versions": {name: version(name) for name in ("yoyodyne", "torch", "lightning", "numpy")},
        "threads": torch.get_num_threads(),
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "updates": updates,
        "seconds_training": watch.seconds,
        "seconds_in_all": time.perf_counter() - STARTED,
        "decoded": decoded,
    }


if __name__ == "__main__":
    result = run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")
