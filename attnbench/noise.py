"""Random numbers of one replica, which do not depend on the replicas that are trained beside it.

Under `torch.func.vmap` all replicas of a pack would draw from one generator, so that a seed's numbers depended on which
seeds are in its pack. Here a number is a hash of the replica's key and of its place: replica, pass, step and element.
"""

import math

import torch
from torch import Tensor, nn

# SplitMix64 (Steele, Lea & Flood 2014, Fast Splittable Pseudorandom Number Generators): increment and multipliers,
# as signed 64-bit integers, whose products wrap around in torch as they do in C.
INCREMENT = 0x9E3779B97F4A7C15 - 2**64
FIRST, SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64
# The number of random bits that a number in (0, 1) has room for, with half a unit to spare at either end.
BITS = {torch.float64: 52}
FEWER_BITS = 23


class Noise(nn.Module):
    """A source of noise for a score, scope or model in training.

    Its key comes from torch's generator when it is built, which the runner seeds with the replica's seed.

    Call `begin` once per training pass (or per call of a module by itself), and then draw with different steps.
    """

    key: Tensor
    passes: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Buffers and not attributes, so that each stacked replica has its own.
        self.register_buffer("key", torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.long))
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))

    def begin(self) -> None:
        """Starts a new pass: the same steps give other numbers from now on."""
        self.passes.add_(1)

    def uniform(self, like: Tensor, step: int = 0) -> Tensor:
        """Uniform numbers in (0, 1), neither end included, in the shape, dtype and device of `like`.

        Args:
            like: any tensor (…); its elements get different numbers.
            step: a decoder step, or any other number that differs between the draws of one pass.
        """
        bits = BITS.get(like.dtype, FEWER_BITS)
        start = _mixed(_mixed(self.key + self.passes * INCREMENT) + _wrapped(step * INCREMENT))
        elements = torch.arange(like.numel(), device=like.device).view(like.shape)
        word = _mixed(start + elements * INCREMENT)
        number = (_shifted(word, 64 - bits).to(torch.float64) + 0.5) / 2**bits
        return number.to(like.dtype)

    def normal(self, like: Tensor, step: int = 0) -> Tensor:
        """Standard normal noise, in the shape, dtype and device of `like`."""
        return math.sqrt(2) * (2 * self.uniform(like, step) - 1).erfinv()

    def gumbel(self, like: Tensor, step: int = 0) -> Tensor:
        """Standard Gumbel noise −log(−log u), in the shape, dtype and device of `like`."""
        return -(-self.uniform(like, step).log()).log()


def _wrapped(number: int) -> int:
    """The signed 64-bit integer with the same lowest bits; torch takes no larger one."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed(word: Tensor) -> Tensor:
    """The output function of SplitMix64: a bijection of 64 bits in which each bit depends on all bits."""
    word = (word ^ _shifted(word, 30)) * FIRST
    word = (word ^ _shifted(word, 27)) * SECOND
    return word ^ _shifted(word, 31)


def _shifted(word: Tensor, bits: int) -> Tensor:
    """The logical right shift, since torch's shift of signed integers repeats the sign."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)
