"""Finds out how an attention is called: tries calls with random inputs until the shapes of the results are right."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.escapes import one_line
from attnbench.guarding import convention
from attnbench.guarding.choices import Layout, Mask
from attnbench.guarding.convention import MODULE, Convention, Kind, laid_back, laid_out
from attnbench.guarding.known import known
from attnbench.guarding.load import Loaded
from attnbench.guarding.target import Asked, Target, attend, calling, prepared
from attnbench.messages import message_of

WIDTH, HEADS = 32, 4  # of functions, which have neither
# Different numbers, and others the second time: a mask of a wrong shape is not broadcast to a right result by chance.
Shape = tuple[int, int, int]  # B, T and S
SHAPES: tuple[Shape, ...] = ((3, 5, 7), (2, 11, 13))
SAMPLES = 3  # failed calls that an error names


def find_target(loaded: Loaded, asked: Asked) -> Target:
    """Finds out how an attention is called.

    Raises:
        AttnbenchError: if no call returns a context of the right shape, with what was called and what came back.
    """
    if problem := _device_problem(loaded.attention, asked.device):
        raise AttnbenchError(problem)
    with calling(asked.device):
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
    if any(map(is_lazy, tensors)):
        what = f"{type(module).__name__} has parameters without a shape, which its first call would give them"
        return Problem(what, hint="call it once before it is tested")
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
        self.returns = "the context"

    def found(self) -> Convention:
        """The first layout in which a call works, with the first form of each kind of mask that works."""
        for layout in self._layouts():
            calls = {kind: call for kind in Kind if (call := self._call(kind, layout))}
            if calls:
                found = replace(self._convention(layout, calls), returns=self.returns, refused=self._refused(calls))
                self._check_longest(found)
                return found
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
            try:
                result = self._result(self._convention(layout, {kind: text}), kind, SHAPES[0])
                ending, returns = _ending(result, self._shape(layout))
            except Exception as error:
                self._note(text, SHAPES[0], raised(error))
                continue
            shown = laid_back(f"{text}{ending}", layout)
            if self._works(self._convention(layout, {kind: shown}), kind, text):
                self.returns = returns
                return shown
        return ""

    def _shape(self, layout: Layout) -> tuple[int, ...]:
        """Of the context of the first call."""
        batch, queries, _ = self._sizes(SHAPES[0])
        if layout is Layout.BHTD:
            heads = self.heads or HEADS
            return batch, heads, queries, self.width // heads
        return (batch, queries, self.width) if layout is Layout.BTD else (queries, batch, self.width)

    def _result(self, found: Convention, kind: Kind, shape: Shape) -> Any:
        """What a call with random inputs returns; it raises what the attention raises."""
        with calling(self.asked.device):
            inputs, mask = _inputs(found, *self._sizes(shape), kind)
            return attend(found, self.module, kind)(*inputs, *mask)

    def _sizes(self, shape: Shape) -> Shape:
        """B, T and S of a call: not longer than may be tested, and T = S where queries are keys."""
        longest = self.asked.longest or max(shape)
        batch, queries, keys = shape[0], min(shape[1], longest), min(shape[2], longest)
        square = len(self.inputs) == 1 or self.asked.causal
        return batch, keys if square else queries, keys

    def _texts(self, kind: Kind, layout: Layout) -> Iterator[str]:
        parameters = convention.parameters_of(self.module)
        names = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
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
            if self.known is None:  # a mask without a default
                yield [_argument(next(iter(self._mask_parameters(Kind.KEYS)), ""), "None")]
            return
        if self.known:
            yield from ([self.known.masks[kind]] for _ in range(kind in self.known.masks))
            return
        query = self.inputs[0]
        for parameter in self._mask_parameters(kind):
            for form in convention.mask_forms(kind, layout, query):
                yield [_argument(parameter, convention.said(form, self.mask, query))]
            if self.mask in (Mask.ATTEND, Mask.PADDING):  # 0 and 1, for a module that computes 1 - mask
                for form in convention.mask_forms(kind, layout, query):
                    yield [_argument(parameter, f"({convention.said(form, self.mask, query)}).long()")]

    def _mask_parameters(self, kind: Kind) -> list[str]:
        return convention.masks_of(self.module, len(self.inputs) == 1)[kind]

    def _convention(self, layout: Layout, calls: dict[Kind, str]) -> Convention:
        offset = "" if self.known else convention.offset_parameter(self.module)
        longest = self.known.longest if self.known else 129
        heads = self.heads or (HEADS if layout is Layout.BHTD else None)
        return Convention(self.inputs, layout, self.mask, self.width, heads, calls, offset, longest)

    def _works(self, found: Convention, kind: Kind, text: str) -> bool:
        """Whether a call returns a context of the right shape, for two shapes of the inputs."""
        for shape in SHAPES:
            try:
                context = self._result(found, kind, shape)
            except Exception as error:
                self._note(text, shape, raised(error))
                return False
            batch, queries, _ = self._sizes(shape)
            expected = (batch, queries, found.width)
            if not isinstance(context, Tensor) or context.shape != expected:
                self._note(text, shape, f"returned {convention.named_tensor(context)}, expected {expected}")
                return False
            if not context.is_floating_point() or context.layout is not torch.strided:
                kind_of_tensor = f"{context.dtype}, {context.layout}"
                self._note(text, shape, f"returned a tensor of {kind_of_tensor}, expected floating-point numbers")
                return False
            if context.device.type != self.asked.device:
                what = f"{self.name} returned a context on {context.device}, for inputs on {self.asked.device}"
                raise fail(what, hint="--device cuda tests it on a GPU" if context.is_cuda else "")
        return True

    def _check_longest(self, found: Convention) -> None:
        """Raises an AttnbenchError if a call with the largest number of positions fails, as of learned positions."""
        longest = self.asked.longest or found.longest
        kind, shape = next(iter(found.calls)), (1, longest, longest)
        try:
            self._result(found, kind, shape)
        except Exception as error:
            what = f"{found.calls[kind]} with {self._shapes(shape)} {one_line(raised(error))}; shorter inputs work"
            raise fail(what, self.name, "--longest N tests up to N positions") from error

    def _shapes(self, shape: Shape) -> str:
        batch, queries, keys = self._sizes(shape)
        found = self._convention(Layout.BTD, {})
        lengths = {name: keys if name in found.of_source else queries for name in self.inputs}
        return ", ".join(f"{name} {(batch, length, self.width)}" for name, length in lengths.items())

    def _note(self, text: str, shape: Shape, what: str) -> None:
        self.failed.setdefault(f"{text} with {self._shapes(shape)}", what)

    def _error(self) -> AttnbenchError:
        distinct = {what: call for call, what in reversed(self.failed.items())}
        shown = [(call, what) for what, call in reversed(distinct.items())][:SAMPLES]
        tried = "\n".join(f"{call} {one_line(what)}" for call, what in shown)
        return fail(
            f"no call returned a context (B,T,{self.width}); {len(self.failed)} were tried, among them\n{tried}",
            self.name,
            "give --width, --layout btd|tbd|bhtd, --heads, --longest or --mask attend|padding|additive|lengths|none "
            "as they apply, or name a module of your own that calls it, with forward(query, source, mask) or "
            "(query, key, value, mask)",
        )


def raised(error: Exception) -> str:
    """What a call raised, in words."""
    return f"raised {type(error).__name__}: {message_of(error)}"


def _ending(result: Any, shape: tuple[int, ...]) -> tuple[str, str]:
    """The text that gives the context of what a call returned, and what it returned, in words.

    Of a tuple or a list, the context is the first value of the right shape.
    """
    for name in convention.CONTEXTS:
        if isinstance(getattr(result, name, None), Tensor):
            return f".{name}", f"an object whose {name} is the context"
        if isinstance(result, Mapping) and isinstance(result.get(name), Tensor):
            return f'["{name}"]', f"a mapping whose {name} is the context"
    if isinstance(result, tuple | list):
        at = next((i for i, each in enumerate(result) if getattr(each, "shape", None) == shape), 0)
        return f"[{at}]", f"a tuple whose value {at} is the context" if at else "a tuple that begins with the context"
    return "", "the context"


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
