"""Attentions of PyTorch, whose calls cannot be read from their signatures."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn import functional
from torch.nn.attention.flex_attention import flex_attention

from attnbench.guarding.choices import Layout, Mask
from attnbench.guarding.convention import Kind, said

_FLEX = "torch.nn.attention.flex_attention.create_block_mask"
_TRIANGLE = "torch.nn.Transformer.generate_square_subsequent_mask"


@dataclass(frozen=True)
class Known:
    """How an attention of PyTorch is called.

    Attributes:
        layout: of its inputs.
        masks: the arguments that pass a mask, by kind.
        always: further arguments.
        causal: the arguments that make it causal; () if it cannot be.
        mask: what its masks say.
        longest: the largest number of positions to test with by default.
    """

    layout: Layout
    masks: dict[Kind, str]
    always: tuple[str, ...] = ()
    causal: tuple[str, ...] = ()
    mask: Mask = Mask.ATTEND
    longest: int = 129


def known(called: Any, mask: Mask | None, causal: bool) -> Known | None:
    """How an attention is called if it is one of PyTorch's, or a subclass; else None.

    Args:
        called: the module or function.
        mask: what its masks are to say; None for what they say by default.
        causal: whether it is to be causal.
    """
    if isinstance(called, nn.MultiheadAttention):
        # Its masks are True where a position may not be attended to. The weights are not asked for: with them, a row
        # without valid positions is NaN.
        chosen = mask or Mask.PADDING
        of_keys, of_pairs = (
            said(m, chosen, "query") for m in ("mask", f"mask.repeat_interleave({called.num_heads}, 0)")
        )
        triangle = f"{_TRIANGLE}(query.shape[1], device=query.device, dtype=query.dtype)"
        return Known(
            Layout.BTD if called.batch_first else Layout.TBD,
            {Kind.KEYS: f"key_padding_mask={of_keys}", Kind.PAIRS: f"attn_mask={of_pairs}"},
            ("need_weights=False",),
            (f"attn_mask={triangle}", "is_causal=True"),
            chosen,
        )
    if called is functional.scaled_dot_product_attention:
        chosen = mask or Mask.ATTEND
        of_keys, of_pairs = (said(m, chosen, "query") for m in ("mask[:, None, None]", "mask[:, None]"))
        masks = {Kind.KEYS: f"attn_mask={of_keys}", Kind.PAIRS: f"attn_mask={of_pairs}"}
        # PyTorch's documentation: a mask and is_causal may not be given together.
        return Known(Layout.BHTD, {} if causal else masks, (), ("is_causal=True",), chosen)
    if called is flex_attention:
        sizes = "len(mask), None, query.shape[1], key.shape[1], device=str(query.device)"
        masks = {
            kind: f"block_mask={_FLEX}(lambda b, h, i, j: mask[{index}], {sizes})"
            for kind, index in ((Kind.KEYS, "b, j"), (Kind.PAIRS, "b, i, j"))
        }
        # Making a block mask takes 0.1 s.
        return Known(Layout.BHTD, masks, longest=9)
    return None
