"""The attention under test, and a call of it that takes inputs (B,T,D) and a mask where True may be attended to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.contained import contained
from attnbench.guarding.choices import Layout, Mask
from attnbench.guarding.convention import MODULE, NAMES, Convention, Kind
from attnbench.guarding.load import Loaded, copied
from attnbench.messages import message_of


@dataclass(frozen=True)
class Asked:
    """What a user says of an attention; None where it is to be found out.

    Attributes:
        layout, mask, width, heads: see `Convention`.
        causal: whether no query attends to a later position.
        positions: whether the result depends on the positions of the keys: "none", "absolute", or "relative" if it
            depends on their distance from the query alone.
        score: the name of a score of attnbench that a function without parameters is to agree with.
        unnormalised: whether the weights of a query need not sum to 1.
        longest: the largest number of positions to test with.
        device: to test on.
    """

    layout: Layout | None = None
    mask: Mask | None = None
    width: int | None = None
    heads: int | None = None
    causal: bool = False
    positions: str = "none"
    score: str | None = None
    unnormalised: bool = False
    longest: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Target:
    """An attention under test.

    Attributes:
        loaded: the module or function, and how a user can build it again.
        asked: what the user says of it.
        convention: how it is called.
    """

    loaded: Loaded
    asked: Asked
    convention: Convention
    _modules: dict[torch.dtype, Any] = field(default_factory=dict, compare=False)

    def module(self, dtype: torch.dtype) -> Any:
        """The attention with parameters of a dtype, in eval mode; a function as it is."""
        if dtype not in self._modules:
            self._modules[dtype] = prepared(self.loaded.attention, dtype, self.asked.device)
        return self._modules[dtype]

    @property
    def longest(self) -> int:
        """The largest number of positions to test with."""
        return self.asked.longest or self.convention.longest

    def takes(self, kind: Kind) -> bool:
        """Whether it can be given masks of a kind."""
        return kind in self.convention.calls

    def setup(self, dtype: torch.dtype) -> list[str]:
        """The lines of a script that define `module`, as `prepared` makes it."""
        lines = ["import torch", *self.loaded.imports]
        if self.asked.device != "cpu":
            lines.append(f'torch.set_default_device("{self.asked.device}")')
        made = self.loaded.expression
        if not self.loaded.is_module:
            return [*lines, f"{MODULE} = {made}"]
        if self.loaded.imports:
            lines.append("torch.manual_seed(0)")
        converted = "" if dtype == torch.get_default_dtype() else f".to({dtype})"
        lines += [f"{MODULE} = {made}", f"{MODULE} = {MODULE}{converted}.eval()"]
        if any(True for _ in zeros_of(self.loaded.attention, self.loaded.attention)):
            lines += [
                "torch.manual_seed(1)",
                f"for zeros in [p for p in {MODULE}.parameters() if p.numel() and not p.any()]:",
                "    torch.nn.init.normal_(zeros, std=0.1)",
            ]
        return lines


def attend(found: Convention, module: Any, kind: Kind) -> Callable[..., Tensor]:
    """A function of the inputs and, if it takes one, the mask, which returns the context (B,T,D)."""
    space = {"torch": torch, MODULE: module}
    for line in found.definitions([kind]):  # what a snippet shows is what is computed
        exec(line, space)
    return space[NAMES[kind]]


@contextmanager
def calling(device: str) -> Iterator[None]:
    """A block that calls the attention as a script of its own would: in float32, with gradients, on a device.

    What it prints goes to stderr, and its changes of torch's defaults and random numbers are undone.

    Raises:
        Exception: what the attention raises.
        RuntimeError: in place of an exception that is meant to end the process, such as that of sys.exit.
    """
    try:
        with (
            contained(),
            torch.random.fork_rng(devices=[]),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.device(device),
        ):
            torch.set_default_dtype(torch.float32)
            yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__} {message_of(error)}".rstrip()) from error


def example_call(target: Target, dtype: torch.dtype, gradients: bool = False) -> Tensor:
    """Calls an attention with one sentence of two positions; it raises what the attention raises."""
    found, kind = target.convention, next(iter(target.convention.calls))
    shapes: dict[Kind, list[tuple[int, ...]]] = {Kind.NONE: [], Kind.KEYS: [(1, 2)], Kind.PAIRS: [(1, 2, 2)]}
    with calling(target.asked.device):
        inputs = [torch.randn(1, 2, found.width, dtype=dtype, requires_grad=gradients) for _ in found.inputs]
        masks = [torch.ones(shape, dtype=torch.bool) for shape in shapes[kind]]
        return attend(found, target.module(dtype), kind)(*inputs, *masks)


def prepared(attention: Any, dtype: torch.dtype, device: str) -> Any:
    """A copy of a module with parameters of a dtype, in eval mode on a device; a function as it is.

    Parameters that are all 0 are drawn at random: a projection that starts from 0 would hide every fault before it.
    """
    if not isinstance(attention, nn.Module):
        return attention
    made = copied(attention).to(device).to(dtype).eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in list(zeros_of(attention, made)):
            parameter.normal_(std=0.1)
    return made


def zeros_of(attention: nn.Module, made: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of `made` that are all 0 in `attention`."""
    for before, now in zip(attention.parameters(), made.parameters(), strict=True):
        if before.numel() and not before.detach().any():
            yield now
