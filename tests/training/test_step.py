"""Which steps are captured as CUDA graphs, with a stand-in for the graphs: it computes each step as usual."""

import pytest
import torch
from small_packs import CPU, batches, pack, stack

from attnbench.training.adam import Adam
from attnbench.training.graphs import NotCaptured
from attnbench.training.step import Steps


@pytest.fixture
def steps():
    built, remarks = stack(pack((0, 1))), []
    made = Steps(built, Adam(list(built.parameters.values())), 1.0, CPU, remarks.append)
    made.remarks = remarks
    made.graphs = lambda *arguments: made._compute(*arguments)
    return made


def weights(made):
    return torch.cat([parameter.detach().flatten() for parameter in made.stack.parameters.values()])


def test_a_validation_between_two_steps_is_no_reason_against_graphs(steps):
    """It sets the attribute `training` of every module, which a step sets back."""
    (batch,) = batches(pack((0, 1)), 1)
    for _ in range(3):
        steps.take(batch, 0.01)
        steps.stack.forced(batch._replace(**{name: part[0] for name, part in batch._asdict().items()}))
    assert steps.graphs is not None
    assert steps.remarks == []


def test_a_step_that_cannot_be_captured_is_computed_once_and_remarked_on(steps):
    (batch,) = batches(pack((0, 1)), 1)
    alone = stack(pack((0, 1)))
    usual = Steps(alone, Adam(list(alone.parameters.values())), 1.0, CPU, print)

    def fails(*_):
        raise NotCaptured("it copies from the CPU")

    steps.graphs = fails
    for _ in range(2):
        steps.take(batch, 0.01)
        usual.take(batch, 0.01)
    # The rate is a tensor in float32 for graphs, and a Python number otherwise.
    torch.testing.assert_close(weights(steps), weights(usual), rtol=0, atol=1e-8)
    assert steps.graphs is None
    assert steps.remarks == ["the steps are not captured as CUDA graphs, and take longer: it copies from the CPU"]


def test_a_model_that_counts_its_calls_is_not_captured(steps):
    """A replay would not run the line that counts."""
    (batch,) = batches(pack((0, 1)), 1)
    model, forward = steps.stack.template.model, type(steps.stack.template.model).forward
    model.calls = 0

    def counting(self, *arguments):
        self.calls += 1
        return forward(self, *arguments)

    model.forward = counting.__get__(model)
    steps.take(batch, 0.01)
    assert steps.graphs is None
    assert steps.remarks == ["the steps are not captured as CUDA graphs, and take longer: the model counts its calls"]
