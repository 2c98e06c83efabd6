"""How an attention is called: its inputs, their layout, its masks, and what it returns.

Everything is read from names and signatures, or follows from which shapes are accepted. What a mask means is never
tried out: an attention that inverts its mask by mistake would be taken for one with the opposite convention.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import nn

from attnbench.guarding.choices import Layout, Mask

MODULE = "module"  # the name of the attention in the text of a call


class Kind(StrEnum):
    """The masks that a call may be given."""

    NONE = "none"
    KEYS = "keys"  # (B,S)
    PAIRS = "pairs"  # (B,T,S)


# The functions by which snippets call an attention.
NAMES = {Kind.NONE: "unmasked", Kind.KEYS: "attend", Kind.PAIRS: "attend_pairs"}

# Names of parameters, by what they take.
QUERY = ("query", "queries", "q")
KEYS = ("key", "keys", "k")
VALUES = ("value", "values", "v")
SOURCE = (
    *("context", "source", "memory", "kv", "key_value", "key_value_states", "encoder_hidden_states", "encoder_states"),
    *("encoder_outputs", "encoder_output", "annotations"),
)
# Masks over the keys of another sequence, over pairs of positions, and of either kind.
SOURCE_MASKS = ("context_mask", "encoder_attention_mask", "memory_mask", "source_mask", "src_mask", "kv_mask")
KEY_MASKS = ("key_padding_mask", "padding_mask", "src_key_padding_mask", "key_mask", "pad_mask")
ANY_MASKS = ("mask", "attn_mask", "attention_mask", "attn_bias", "attention_bias", "bias")
PADDING_NAMES = ("key_padding_mask", "padding_mask", "src_key_padding_mask", "pad_mask")
LENGTHS_NAMES = (
    *(
        "source_lengths",
        "lengths",
        "key_lengths",
        "memory_lengths",
        "seq_lengths",
        "seq_lens",
        "valid_lens",
        "valid_len",
    ),
)
# Attributes of a result that have the context, in place of a tuple that begins with it.
CONTEXTS = ("context", "last_hidden_state", "attn_output", "output")
ADDITIVE_NAMES = ("attn_bias", "attention_bias", "bias")
CAUSAL = ("is_causal", "causal")
OFFSETS = ("offset", "start", "start_pos", "step", "position_offset", "input_pos")
WIDTHS = ("embed_dim", "d_model", "hidden_size", "dim", "width", "n_embd", "embedding_dim", "query_dim", "model_dim")
HEADS = ("num_heads", "n_heads", "heads", "n_head", "num_attention_heads", "nhead")


@dataclass(frozen=True)
class Convention:
    """How an attention is called.

    Attributes:
        inputs: the names of the sequences that it takes: query, key and value; query and source; or one sequence.
        layout: of the sequences.
        mask: what its masks say.
        width: D; with heads as an axis of their own, the width of all heads together.
        heads: H; None if it is not known.
        calls: the text of the call by kind of mask, in terms of the inputs (B,T,D), (B,S,D) and of `mask`.
        offset: the parameter that takes the index of the first query; "" if there is none.
        longest: the largest number of positions to test with by default.
        returns: what the call returns, in words.
        refused: if it has a parameter for masks but no call with a mask worked, one of these calls and what came back.
    """

    inputs: tuple[str, ...]
    layout: Layout
    mask: Mask
    width: int
    heads: int | None
    calls: dict[Kind, str]
    offset: str = ""
    longest: int = 129
    returns: str = "context"
    refused: str = ""

    @property
    def of_source(self) -> tuple[str, ...]:
        """The inputs with S positions."""
        return self.inputs[1:] or self.inputs

    @property
    def is_self(self) -> bool:
        """Whether there is a single sequence, of queries and keys."""
        return len(self.inputs) == 1

    def definitions(self, kinds: Sequence[Kind]) -> list[str]:
        """The lines that define a function of the inputs for each kind of mask, by the names of NAMES."""
        lines = [f"split = lambda x: x.unflatten(-1, ({self.heads}, -1)).transpose(1, 2)"]
        defined = lines if self.layout is Layout.BHTD else []
        for kind in kinds:
            names = [*self.inputs, *(["mask"] if kind is not Kind.NONE else [])]
            defined.append(f"{NAMES[kind]} = lambda {', '.join(names)}: {self.calls[kind]}")
        return defined


def parameters_of(called: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function, or of the `forward` of a module; empty if they cannot be read."""
    function = called.forward if isinstance(called, nn.Module) else called
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        # Built-in functions such as scaled_dot_product_attention have no signature.
        return []
    return [each for each in found if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def inputs_of(called: Callable[..., Any], causal: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """Finds the sequences that an attention takes.

    Args:
        called: the function or module.
        causal: whether its queries attend to positions of their own sequence.

    Returns:
        The name of the parameter by input, "" for one that is passed by position; and the names of the inputs.
    """
    parameters = {each.name: each for each in parameters_of(called)}
    lower = {name.lower(): name for name in parameters}
    triple = [_first(lower, names) for names in (QUERY, KEYS, VALUES)]
    if all(triple):
        return dict(zip(("query", "key", "value"), triple, strict=True)), ("query", "key", "value")
    first = next(iter(parameters), "")
    if source := _first(lower, SOURCE):
        return (
            ({"sequence": first}, ("sequence",))
            if causal
            else ({"query": first, "source": source}, ("query", "source"))
        )
    required = [each for each in parameters.values() if each.default is each.empty and not _is_mask(each.name)]
    by_number = {0: ("query", "key", "value"), 1: ("sequence",), 2: ("query", "source")}
    names = by_number.get(len(required), ("query", "key", "value"))
    return dict.fromkeys(names, ""), names


def _first(lower: dict[str, str], names: Sequence[str]) -> str:
    return next((lower[name] for name in names if name in lower), "")


def _is_mask(name: str) -> bool:
    return name.lower() in (*SOURCE_MASKS, *KEY_MASKS, *ANY_MASKS) or "mask" in name.lower()


def masks_of(called: Callable[..., Any], is_self: bool) -> dict[Kind, list[str]]:
    """The parameters that may take a mask, by kind, the most likely first; [""] for one that is passed by position."""
    names = [each.name for each in parameters_of(called)]
    lower = {name.lower(): name for name in names}
    of_source, of_keys, of_any = (
        [lower[name] for name in known if name in lower] for known in (SOURCE_MASKS, KEY_MASKS, ANY_MASKS)
    )
    if of_source and not is_self:  # these are over the queries, and leave the source as it is
        of_any = [name for name in of_any if name.lower() not in ("mask", "attention_mask")]
    keys = [*([] if is_self else of_source), *of_keys, *of_any]
    pairs = [name for name in (*of_any[::-1], *of_source) if name not in of_keys]
    if len(of_any) > 1:  # such as mask and attn_mask: the second is over pairs
        pairs = [name for name in ("attn_mask", "attention_mask") if name in of_any] + pairs
    if not keys and (lengths := [lower[name] for name in LENGTHS_NAMES if name in lower]):
        return {Kind.KEYS: lengths, Kind.PAIRS: []}
    if not keys and (not names or _may_be_mask(parameters_of(called)[3:4])):
        keys = pairs = [""]
    return {Kind.KEYS: keys, Kind.PAIRS: list(dict.fromkeys(pairs))}


def _may_be_mask(fourth: Sequence[inspect.Parameter]) -> bool:
    """Whether a parameter of an unknown name may take a mask: it has no default, or None."""
    return any(each.default in (each.empty, None) and each.name not in (*OFFSETS, *CAUSAL) for each in fourth)


def polarity(called: Callable[..., Any]) -> Mask:
    """What the masks of an attention say, by its parameters' names; True may be attended to if they do not say it."""
    names = {each.name.lower() for each in parameters_of(called)}
    if names & set(PADDING_NAMES):
        return Mask.PADDING
    masks = [name for name in names if _is_mask(name)]
    if not masks and names & set(LENGTHS_NAMES):
        return Mask.LENGTHS
    if masks and set(masks) <= set(ADDITIVE_NAMES):
        return Mask.ADDITIVE
    # transformers: 0 and the most negative number, which its models compute before they call their attention.
    return Mask.ADDITIVE if "hidden_states" in names and "attention_mask" in names else Mask.ATTEND


def width_of(called: Any) -> int | None:
    """The width that a module says it has; None if it does not."""
    if not isinstance(called, nn.Module):
        return None
    named = (getattr(called, name, None) for name in WIDTHS)
    linear = (each.in_features for each in called.modules() if isinstance(each, nn.Linear))
    return next((found for found in (*named, *linear) if isinstance(found, int) and found > 0), None)


def heads_of(called: Any) -> int | None:
    """The number of heads that a module says it has; None if it does not."""
    found = (getattr(called, name, None) for name in HEADS)
    return next((number for number in found if isinstance(number, int) and number > 0), None)


def causal_parameter(called: Callable[..., Any]) -> str:
    """The parameter that makes a call causal; "" if there is none."""
    return next((each.name for each in parameters_of(called) if each.name in CAUSAL), "")


def offset_parameter(called: Callable[..., Any]) -> str:
    """The parameter that takes the index of the first query; "" if there is none."""
    return next((each.name for each in parameters_of(called) if each.name in OFFSETS), "")


def mask_forms(kind: Kind, layout: Layout, query: str) -> list[str]:
    """The shapes in which a mask may be passed, as text in terms of `mask`, which is (B,S) or (B,T,S)."""
    if kind is Kind.PAIRS:
        forms = ["mask", "mask[:, None]"]
        return forms[::-1] if layout is Layout.BHTD else forms
    each_query = f"mask[:, None].expand(-1, {query}.shape[1], -1)"
    forms = ["mask", "mask[:, None]", "mask[:, None, None]"]
    return [*(forms[::-1] if layout is Layout.BHTD else forms), each_query, f"{each_query}[:, None]"]


def said(form: str, mask: Mask, query: str) -> str:
    """The text of a mask where True may be attended to, in another convention."""
    if mask is Mask.LENGTHS:
        return f"{form}.sum(-1)"
    if mask is Mask.PADDING:
        return f"~{form}"
    if mask is Mask.ADDITIVE:  # as in transformers; with −∞, a row without valid positions is NaN in any softmax
        return f"(~{form}).to({query}.dtype) * torch.finfo({query}.dtype).min"
    return form


def laid_out(name: str, layout: Layout) -> str:
    """The text of an input (B,T,D) in another layout."""
    if layout is Layout.TBD:
        return f"{name}.transpose(0, 1)"
    return f"split({name})" if layout is Layout.BHTD else name


def laid_back(call: str, layout: Layout) -> str:
    """The text of a context (B,T,D) from one in another layout."""
    if layout is Layout.TBD:
        return f"{call}.transpose(0, 1)"
    return f"{call}.transpose(1, 2).flatten(2)" if layout is Layout.BHTD else call


def named_tensor(value: Any) -> str:
    """What a call returned, in words: "a tensor (2, 3, 32)"."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {', '.join(map(named_tensor, value)) or 'nothing'}"
    return "None" if value is None else f"a value of type {type(value).__name__}"
