"""The count of operations is that of torch, without torch's compiler."""

import subprocess
import sys

import pytest
import torch
from small_packs import batches, pack, stack
from torch.utils.flop_counter import FlopCounterMode

from attnbench.training.batches import Batch
from attnbench.training.flops import Flops

MODELS = [
    ("rnn", "additive", "global"),
    ("rnn", "location_conv", "local-p"),
    ("transformer", "scaled_dot", "self"),
    ("lstmn", "general", "self"),
    ("pointer", "trilinear", "global"),
    ("ntm", "cosine", "global"),
]


@pytest.mark.parametrize(("kind", "score", "scope"), MODELS)
def test_the_count_is_that_of_torch(kind: str, score: str, scope: str) -> None:
    described = pack((0,), score, scope, kind=kind)
    model, one = stack(described), Batch(*(tensor[0] for tensor in batches(described, 1)[0]))
    with FlopCounterMode(display=False) as theirs:
        objective, _ = model.loss(Batch(*(tensor.unsqueeze(0) for tensor in one)))
        objective.sum().backward()
    assert model.flops(one) == theirs.get_total_flops() > 0


def test_elementwise_operations_do_not_count() -> None:

    numbers = torch.ones(3, 3, requires_grad=True)
    with Flops() as flops:
        (numbers * numbers).exp().sum().backward()
    assert flops.total == 0


TRAIN = """
import sys
from small_packs import pack
from attnbench.training.train import train
assert train(pack())[0].metrics["flops"] > 0
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_import_the_compiler() -> None:
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{TRAIN}"]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout == "False\n"
