"""Noise that is each replica's own: its distribution, its independence, and the same numbers in every stack."""

import math

import pytest
import torch
from scipy import stats
from torch.func import functional_call, stack_module_state, vmap

from attnbench.noise import Noise, _mixed


def noise(seed: int = 0) -> Noise:
    torch.manual_seed(seed)
    return Noise()


def test_mixing_is_that_of_splitmix64():
    """The first outputs for the state 1234567, as published with the algorithm (Vigna, splitmix64.c)."""
    golden = 0x9E3779B97F4A7C15 - 2**64
    state = torch.tensor(1234567)
    found = []
    for _ in range(3):
        state = state + golden
        found.append(int(_mixed(state)) % 2**64)
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_uniform_and_gumbel(dtype):
    source, like = noise(1), torch.zeros(200, 500, dtype=dtype)
    uniform = source.uniform(like)
    assert uniform.dtype == dtype
    assert uniform.min() > 0
    assert uniform.max() < 1
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 0.001
    gumbel = source.gumbel(like, 3)
    assert gumbel.isfinite().all()
    assert stats.kstest(gumbel.flatten().double().numpy(), "gumbel_r").pvalue > 0.001


def test_float32_has_neither_zero_nor_one():
    """The extreme words give the numbers nearest to the ends, of which both logarithms are finite."""
    for bits, dtype in ((23, torch.float32), (52, torch.float64)):
        ends = (torch.tensor([0, 2**bits - 1], dtype=torch.float64) + 0.5) / 2**bits
        assert ((ends.to(dtype) > 0) & (ends.to(dtype) < 1)).all()


def test_elements_steps_passes_and_keys_are_unrelated():
    source, like = noise(2), torch.zeros(20_000, dtype=torch.float64)
    first = source.uniform(like, 0)
    others = [source.uniform(like, 1), source.uniform(like, 12_345)]
    source.begin()
    others += [source.uniform(like, 0), noise(3).uniform(like, 0), first.roll(1)]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < 4 / math.sqrt(len(like))
        assert not torch.equal(first, other)
    assert torch.equal(noise(2).uniform(like, 0), first)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_replica_draws_the_same_in_every_stack(size):
    modules = [noise(seed) for seed in range(10, 10 + size)]
    _, buffers = stack_module_state(modules)
    like = torch.zeros(size, 3, 4)

    class Draws(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.noise = noise(0)

        def forward(self, like):
            self.noise.begin()
            return self.noise.uniform(like, 2)

    template = Draws()
    named = {f"noise.{name}": buffer for name, buffer in buffers.items()}
    drawn = vmap(lambda b, x: functional_call(template, b, (x,)), randomness="error")(named, like)
    for k, seed in enumerate(range(10, 10 + size)):
        alone = noise(seed)
        alone.begin()
        assert torch.equal(drawn[k], alone.uniform(like[k], 2))
    assert named["noise.passes"].tolist() == [1] * size
