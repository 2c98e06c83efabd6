"""Finds out how an attention is called: tries calls with random inputs until the shapes of the results are right."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.contained import contained
from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.escapes import one_line
from attnbench.guarding import convention
from attnbench.guarding.convention import MODULE, Convention, Kind, Layout, Mask, laid_back, laid_out
from attnbench.guarding.known import known
from attnbench.guarding.load import Loaded
from attnbench.guarding.target import Asked, Target, attend, prepared
from attnbench.messages import message_of

WIDTH, HEADS = 32, 4  # of functions, which have neither
# Different numbers, and others the second time: a mask of a wrong shape is not broadcast to a right result by chance.
SHAPES = ((3, 5, 7), (2, 11, 13))
SAMPLES = 3  # failed calls that an error names


def find_target(loaded: Loaded, asked: Asked) -> Target:
    """Finds out how an attention is called.

    Raises:
        AttnbenchError: if no call returns a context of the right shape, with what was called and what came back.
    """
    if problem := _device_problem(loaded.attention, asked.device):
        raise AttnbenchError(problem)
    with contained(), torch.random.fork_rng(devices=[]), torch.device(asked.device):
        torch.manual_seed(0)
        module = _on_device(loaded, asked.device)
        return Target(loaded, asked, _Search(module, loaded.name, asked).found())


def _device_problem(module: Any, device: str) -> Problem | None:
    if device == "cuda" and not torch.cuda.is_available():
        return Problem("PyTorch finds no GPU", "--device cuda", "leave --device out to test on the CPU")
    tensors = [*module.parameters(), *module.buffers()] if isinstance(module, nn.Module) else []
    if any(each.is_meta for each in tensors):
        what = f"{type(module).__name__} has parameters on the device meta, which have no values"
        return Problem(what, hint=f"build it on {device}")
    return None


def _on_device(loaded: Loaded, device: str) -> Any:
    try:
        return prepared(loaded.attention, torch.float32, device)
    except Exception as error:
        what = f"{loaded.name} cannot be copied to {device} in float32: {type(error).__name__}: {message_of(error)}"
        raise fail(what, hint="copy.deepcopy(module).to(device) should work") from error


class _Search:
    """The calls of one attention."""

    def __init__(self, module: Any, name: str, asked: Asked) -> None:
        self.module, self.name, self.asked = module, name, asked
        self.known = known(module, asked.mask, asked.causal)
        self.width = asked.width or convention.width_of(module) or WIDTH
        self.heads = asked.heads or convention.heads_of(module)
        if self.known:
            self.inputs: tuple[str, ...] = ("query", "key", "value")
            self.passed = dict.fromkeys(self.inputs, "")
            self.mask = asked.mask or self.known.mask
        else:
            self.passed, self.inputs = convention.inputs_of(module, asked.causal)
            self.mask = asked.mask or convention.polarity(module)
        self.failed: dict[str, str] = {}  # what calls raised or returned

    def found(self) -> Convention:
        """The first layout in which a call works, with the first form of each kind of mask that works."""
        for layout in self._layouts():
            calls = {kind: call for kind in Kind if (call := self._call(kind, layout))}
            if calls:
                call = next(iter(calls.values()))
                refused = self._refused(calls)
                return replace(self._convention(layout, calls), returns=_returned(call), refused=refused)
        raise self._error()

    def _refused(self, calls: dict[Kind, str]) -> str:
        """The first call with a mask by its name, and what came back; "" if a call with a mask works."""
        if set(calls) != {Kind.NONE}:
            return ""
        names = {name for each in convention.masks_of(self.module, len(self.inputs) == 1).values() for name in each}
        calls_of_masks = ((c, what) for c, what in self.failed.items() if any(f"{n}=" in c for n in names if n))
        return next((one_line(f"{call} {what}") for call, what in calls_of_masks), "")

    def _layouts(self) -> list[Layout]:
        if self.asked.layout:
            return [self.asked.layout]
        if self.known:
            return [self.known.layout]
        if getattr(self.module, "batch_first", True) is False:
            return [Layout.TBD]
        # One sequence (T,B,D) would be taken for one (B,T,D); so would a query and a source of the same length.
        two = len(self.inputs) > 1 and not self.asked.causal
        return [Layout.BTD, *([Layout.TBD] if two else []), Layout.BHTD]

    def _call(self, kind: Kind, layout: Layout) -> str:
        """The text of the first call that works; "" if there is none."""
        if kind is not Kind.NONE and self.mask is Mask.NONE:
            return ""
        for text in self._texts(kind, layout):
            result = self._result(layout, kind, text)
            ending = _ending(result, self._shape(layout))
            shown = laid_back(f"{text}{ending}", layout)
            if result is not None and self._works(self._convention(layout, {kind: shown}), kind, text):
                return shown
        return ""

    def _shape(self, layout: Layout) -> tuple[int, ...]:
        """Of the context of the first call."""
        batch, queries, _ = self._sizes(*SHAPES[0])
        if layout is Layout.BHTD:
            heads = self.heads or HEADS
            return batch, heads, queries, self.width // heads
        return (batch, queries, self.width) if layout is Layout.BTD else (queries, batch, self.width)

    def _result(self, layout: Layout, kind: Kind, text: str) -> Any:
        """What a call returns; None if it raises."""
        found = self._convention(layout, {kind: text})
        inputs, mask = _inputs(found, *self._sizes(*SHAPES[0]), kind)
        try:
            return attend(found, self.module, kind)(*inputs, *mask)
        except Exception as error:
            self._note(text, inputs, f"raised {type(error).__name__}: {message_of(error)}")
            return None

    def _sizes(self, batch: int, queries: int, keys: int) -> tuple[int, int, int]:
        square = len(self.inputs) == 1 or self.asked.causal
        return batch, keys if square else queries, keys

    def _texts(self, kind: Kind, layout: Layout) -> Iterator[str]:
        names = [each.name for each in convention.parameters_of(self.module)]
        by_position = [self.passed[name] for name in self.inputs] == names[: len(self.inputs)]
        inputs = [_argument("" if by_position else self.passed[name], laid_out(name, layout)) for name in self.inputs]
        further = self._further()
        for mask in self._masks(kind, layout):
            yield f"{MODULE}({', '.join([*inputs, *mask, *further])})"

    def _further(self) -> tuple[str, ...]:
        if self.known:
            return (*self.known.always, *(self.known.causal if self.asked.causal else ()))
        parameter = convention.causal_parameter(self.module)
        return (f"{parameter}=True",) if self.asked.causal and parameter else ()

    def _masks(self, kind: Kind, layout: Layout) -> Iterator[list[str]]:
        """The arguments that may pass a mask of a kind."""
        if kind is Kind.NONE:
            yield []
            if self.known is None:
                yield ["None"]  # a mask without a default
            return
        if self.known:
            yield from ([self.known.masks[kind]] for _ in range(kind in self.known.masks))
            return
        query = self.inputs[0]
        for parameter in convention.masks_of(self.module, len(self.inputs) == 1)[kind]:
            for form in convention.mask_forms(kind, layout, query):
                yield [_argument(parameter, convention.said(form, self.mask, query))]
            if self.mask in (Mask.ATTEND, Mask.PADDING):  # 0 and 1, for a module that computes 1 - mask
                for form in convention.mask_forms(kind, layout, query):
                    yield [_argument(parameter, f"({convention.said(form, self.mask, query)}).long()")]

    def _convention(self, layout: Layout, calls: dict[Kind, str]) -> Convention:
        offset = "" if self.known else convention.offset_parameter(self.module)
        longest = self.known.longest if self.known else 129
        heads = self.heads or (HEADS if layout is Layout.BHTD else None)
        return Convention(self.inputs, layout, self.mask, self.width, heads, calls, offset, longest)

    def _works(self, found: Convention, kind: Kind, text: str) -> bool:
        for batch, queries, keys in (self._sizes(*shape) for shape in SHAPES):
            inputs, mask = _inputs(found, batch, queries, keys, kind)
            try:
                context = attend(found, self.module, kind)(*inputs, *mask)
            except Exception as error:
                self._note(text, inputs, f"raised {type(error).__name__}: {message_of(error)}")
                return False
            shape = (batch, queries, found.width)
            if not isinstance(context, Tensor) or context.shape != shape:
                self._note(text, inputs, f"returned {convention.named_tensor(context)}, expected {shape}")
                return False
            if context.device.type != self.asked.device:
                what = f"{self.name} returned a context on {context.device}, for inputs on {self.asked.device}"
                raise fail(what, hint="--device cuda tests it on a GPU")
        return True

    def _note(self, text: str, inputs: list[Tensor], what: str) -> None:
        shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in zip(self.inputs, inputs, strict=True))
        self.failed.setdefault(f"{text} with {shapes}", what)

    def _error(self) -> AttnbenchError:
        distinct = {what: call for call, what in reversed(self.failed.items())}
        shown = [(call, what) for what, call in reversed(distinct.items())][:SAMPLES]
        tried = "\n".join(f"{call} {one_line(what)}" for call, what in shown)
        return fail(
            f"no call returned a context (B,T,{self.width}); {len(self.failed)} were tried, among them\n{tried}",
            self.name,
            "give --width, --layout btd|tbd|bhtd, --heads or --mask attend|padding|additive|none as they apply, "
            "or name a module of your own with forward(query, source, mask) or (query, key, value, mask) that calls it",
        )


def _ending(result: Any, shape: tuple[int, ...]) -> str:
    """The text that gives the context of what a call returned: of a tuple, the first value of the right shape."""
    if result is None or isinstance(result, Tensor):
        return ""
    if isinstance(result, dict):
        name = next((name for name in convention.CONTEXTS if isinstance(result.get(name), Tensor)), None)
        return f'["{name}"]' if name else ""
    attribute = next((name for name in convention.CONTEXTS if isinstance(getattr(result, name, None), Tensor)), None)
    if attribute:
        return f".{attribute}"
    if not isinstance(result, tuple | list):
        return "[0]"
    return f"[{next((i for i, each in enumerate(result) if getattr(each, 'shape', None) == shape), 0)}]"


def _returned(call: str) -> str:
    """What a call returns, in words, from its ending."""
    for name in convention.CONTEXTS:
        if f").{name}" in call:
            return f"an object whose {name} is the context"
        if f')["{name}"]' in call:
            return f"a dict whose {name} is the context"
    if number := re.search(r"\)\[(\d+)\]", call):
        at = int(number[1])
        return f"a tuple whose value {at} is the context" if at else "a tuple that begins with the context"
    return "the context"


def _argument(parameter: str, text: str) -> str:
    return f"{parameter}={text}" if parameter else text


def _inputs(found: Convention, batch: int, queries: int, keys: int, kind: Kind) -> tuple[list[Tensor], list[Tensor]]:
    """Random inputs, and a mask if the kind has one."""
    lengths = [keys if name in found.of_source else queries for name in found.inputs]
    inputs = [torch.randn(batch, length, found.width) for length in lengths]
    if kind is Kind.NONE:
        return inputs, []
    if found.mask is Mask.LENGTHS:
        return inputs, [torch.arange(keys) < torch.arange(1, batch + 1).unsqueeze(1)]
    mask = torch.rand(batch, keys) < 0.5 if kind is Kind.KEYS else torch.rand(batch, queries, keys) < 0.5
    mask[..., 0] = True
    return inputs, [mask]
