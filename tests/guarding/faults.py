"""Attentions with one planted fault each, and the same without it.

Each class is right without a fault: tests hold this too, so that a check fails because of the fault alone.
"""

import torch
from torch import nn
from torch.nn import functional


class WrongGradient(torch.autograd.Function):
    """A softmax whose gradient leaves out the sum over the other positions."""

    @staticmethod
    def forward(ctx, logits):
        weights = logits.softmax(-1)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx, gradient):
        (weights,) = ctx.saved_tensors
        return gradient * weights


class Attention(nn.Module):
    """Multi-head scaled dot-product attention with a mask (B,S) or (B,T,S) that is True where it may be attended to."""

    def __init__(self, fault="", embed_dim=32, num_heads=4):
        super().__init__()
        self.fault, self.embed_dim, self.num_heads = fault, embed_dim, num_heads
        self.projections = nn.ModuleList([nn.Linear(embed_dim, embed_dim) for _ in range(3)])
        self.out = nn.Linear(embed_dim, embed_dim)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, query, key, value, mask=None):
        fault = self.fault
        if fault == "inputs written to":
            query.mul_(0.5)
        if fault == "mask written to" and mask is not None:
            mask[..., -1] = True
        if fault == "keys and values swapped":
            key, value = value, key
        if fault == "keys detached":
            key = key.detach()
        if fault == "query ignored":
            query = torch.ones_like(query)
        if fault == "keys after the 64th dropped":
            key, value, mask = key[:, :64], value[:, :64], None if mask is None else mask[..., :64]
        if fault == "padded with ones":
            more = -key.shape[1] % 4
            key, value = (functional.pad(x, (0, 0, 0, more)) for x in (key, value))
            mask = None if mask is None else functional.pad(mask, (0, more), value=True)
        q, k, v = (self.split(layer(x)) for layer, x in zip(self.projections, (query, key, value), strict=True))
        logits = q @ k.mT / q.shape[-1] ** 0.5
        if fault == "computed in bfloat16":
            logits = (q.bfloat16() @ k.bfloat16().mT).to(q.dtype) / q.shape[-1] ** 0.5
        if fault == "normalised over the batch":
            logits = logits / (logits.std() + 1)
        if fault == "state between calls":
            self.calls += 1
            logits = logits * (1 + 0.1 * self.calls)
        weights = self.weights(logits, self.allowed(mask, query))
        if fault == "weights averaged over heads":
            weights = weights.mean(1, keepdim=True).expand_as(weights)
        if fault == "dropout in eval mode":
            weights = functional.dropout(weights, 0.1, training=True)
        context = weights @ v
        if fault == "heads not moved back":
            return self.out(context.reshape(query.shape))
        context = self.out(context.transpose(1, 2).flatten(2))
        return context.double() if fault == "context in float64" else context

    def split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def allowed(self, mask, query):
        """The mask (B,1,T,S), True where a position may be attended to; None if all may be."""
        if mask is None or self.fault == "mask ignored":
            return None
        mask = mask[:, None].expand(-1, query.shape[1], -1) if mask.ndim == 2 else mask
        if self.fault == "mask inverted":
            mask = ~mask
        if self.fault == "mask off by one":
            mask = mask | mask.roll(1, -1)
        if self.fault == "mask of the first sentence":
            mask = mask[:1].expand_as(mask)
        if self.fault == "mask repeated in the wrong order":
            heads = mask.repeat(self.num_heads, 1, 1)  # for (B·H): it should be repeat_interleave
            return heads.unflatten(0, (len(mask), self.num_heads))
        return mask[:, None]

    def weights(self, logits, allowed):
        fault = self.fault
        axis = {"softmax over queries": -2, "softmax over heads": 1, "softmax over the batch": 0}.get(fault, -1)
        if allowed is None:
            allowed = torch.ones((), dtype=torch.bool)
        if fault == "mask added as 0 and 1":
            return (logits + allowed).softmax(-1)
        if fault == "masked by -10":
            return logits.masked_fill(~allowed, -10).softmax(-1)
        if fault == "mask multiplied after the softmax":
            return logits.softmax(-1) * allowed
        if fault == "mask multiplied before the softmax":
            return (logits * allowed).softmax(-1)
        if fault == "NaN in empty rows":
            return logits.masked_fill(~allowed, -torch.inf).softmax(-1)
        if fault == "NaN in empty rows' gradients":
            return (logits + torch.where(allowed, 0.0, -torch.inf)).softmax(-1).nan_to_num(0)
        if fault == "overflow in float16":
            raised = logits.exp() * allowed
            return raised / raised.sum(-1, keepdim=True).clamp(min=1e-6)
        if fault == "wrong gradient of the softmax":
            return WrongGradient.apply(logits.masked_fill(~allowed, -1e4)) * allowed
        # The lowest number and a second mask, so that an empty row has weights of 0, and no NaN in gradients.
        return logits.masked_fill(~allowed, torch.finfo(logits.dtype).min).softmax(axis) * allowed


class Causal(nn.Module):
    """Causal multi-head attention of one sequence, with a mask (B,S) of padding that is True on valid positions."""

    def __init__(self, fault="", dim=32, heads=4):
        super().__init__()
        self.fault, self.dim, self.heads = fault, dim, heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        logits = q @ k.mT / q.shape[-1] ** 0.5
        seen = self.triangle(x.shape[1], x.dtype)
        if mask is not None:
            seen = seen & mask[:, None, None]
        weights = logits.masked_fill(~seen, torch.finfo(logits.dtype).min).softmax(-1) * seen
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def triangle(self, length, dtype):
        everything = torch.ones(length, length, dtype=torch.bool)
        if self.fault == "the next position is seen":
            return everything.tril(1)
        if self.fault == "the own position is not seen":
            return everything.tril(-1)
        if self.fault == "the triangle is transposed":
            return everything.triu()
        if self.fault == "the triangle is forgotten":
            return everything
        if self.fault == "the triangle ends at 64 positions":
            return everything.tril() | (torch.arange(length) >= 64)
        if self.fault == "the triangle is forgotten in bfloat16" and dtype == torch.bfloat16:
            return everything
        return everything.tril()


class Cached(nn.Module):
    """Causal attention with positions, called with all queries or with one, whose index is `offset`."""

    def __init__(self, fault="", dim=32):
        super().__init__()
        self.fault, self.dim = fault, dim
        self.positions = nn.Parameter(torch.randn(200, dim) / 4)

    def forward(self, query, key, value, offset=0):
        at = torch.arange(query.shape[1]) + offset
        if self.fault == "the cache is off by one" and offset:
            at = at - 1
        logits = (query + self.positions[at]) @ (key + self.positions[: key.shape[1]]).mT / self.dim**0.5
        seen = torch.arange(key.shape[1]) <= at[:, None]
        return logits.masked_fill(~seen, -torch.inf).softmax(-1) @ value


class Relative(nn.Module):
    """Attention with rotary positions or with a bias by distance (ALiBi); the mask is True on valid positions."""

    def __init__(self, fault="", kind="rotary", dim=32):
        super().__init__()
        self.fault, self.kind, self.dim = fault, kind, dim

    def rotated(self, x, sign=1):
        angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] / 100.0 ** torch.linspace(0, 1, self.dim // 2)
        cos, sin = angles.cos().to(x.dtype), (sign * angles.sin()).to(x.dtype)
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)

    def forward(self, query, key, value, mask=None):
        if self.kind == "rotary":
            sign = -1 if self.fault == "the rotation of the keys has the other sign" else 1
            query, key = self.rotated(query), self.rotated(key, sign)
        logits = query @ key.mT / self.dim**0.5
        if self.kind == "bias":
            distance = torch.arange(query.shape[1])[:, None] - torch.arange(key.shape[1])
            logits = logits + (0.5 if self.fault == "the bias has the other sign" else -0.5) * distance.abs()
        if mask is None:
            return logits.softmax(-1) @ value
        allowed = mask[:, None]
        return (logits.masked_fill(~allowed, torch.finfo(logits.dtype).min).softmax(-1) * allowed) @ value


def scaled(fault=""):
    """A function of heads (B,H,T,D), with the scale of scaled dot-product attention."""

    def attention(query, key, value, mask=None):
        width = query.shape[-1]
        scale = {"the scale is dropped": 1, "the scale is squared": width}.get(fault, width**0.5)
        logits = query @ key.mT / scale
        if fault == "heads see each other":
            logits = logits + logits.mean(1, keepdim=True)
        if mask is None:
            return logits.softmax(-1) @ value
        return (logits.masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(-1) * mask) @ value

    return attention


# By fault: the attention, how it is to be tested, and the checks that find it; () for those that no check sees.
FAULTS = {
    "mask ignored": (Attention, {}, ("padding",)),
    "mask inverted": (Attention, {}, ("padding",)),
    "mask off by one": (Attention, {}, ("padding",)),
    "mask of the first sentence": (Attention, {}, ("padding", "batch")),
    "mask repeated in the wrong order": (Attention, {}, ("padding",)),
    "mask added as 0 and 1": (Attention, {}, ("padding",)),
    "masked by -10": (Attention, {}, ("padding",)),
    "mask multiplied before the softmax": (Attention, {}, ("truncation",)),
    "mask multiplied after the softmax": (Attention, {}, ("truncation",)),
    "padded with ones": (Attention, {}, ("truncation",)),
    "softmax over queries": (Attention, {}, ("queries",)),
    "softmax over heads": (Attention, {}, ("equal values",)),
    "softmax over the batch": (Attention, {}, ("batch",)),
    "normalised over the batch": (Attention, {}, ("batch",)),
    "weights averaged over heads": (Attention, {}, ("heads",)),
    "heads not moved back": (Attention, {}, ("queries",)),
    "keys and values swapped": (Attention, {}, ("values",)),
    "keys detached": (Attention, {}, ("gradcheck",)),
    "query ignored": (Attention, {}, ("queries and keys",)),
    "keys after the 64th dropped": (Attention, {}, ("influence",)),
    "dropout in eval mode": (Attention, {}, ("repeatable",)),
    "state between calls": (Attention, {}, ("repeatable",)),
    "inputs written to": (Attention, {}, ("inputs",)),
    "mask written to": (Attention, {}, ("inputs",)),
    "context in float64": (Attention, {}, ("dtype",)),
    "computed in bfloat16": (Attention, {}, ("gradcheck",)),
    "overflow in float16": (Attention, {}, ("float16",)),
    "NaN in empty rows": (Attention, {}, ("empty rows",)),
    "NaN in empty rows' gradients": (Attention, {}, ("empty rows' gradients",)),
    "wrong gradient of the softmax": (Attention, {}, ("gradcheck",)),
    "the next position is seen": (Causal, {"causal": True}, ("future",)),
    "the own position is not seen": (Causal, {"causal": True}, ("present",)),
    "the triangle is transposed": (Causal, {"causal": True}, ("future",)),
    "the triangle is forgotten": (Causal, {"causal": True}, ("future",)),
    "the triangle ends at 64 positions": (Causal, {"causal": True}, ("future",)),
    "the triangle is forgotten in bfloat16": (Causal, {"causal": True}, ("future",)),
    "the cache is off by one": (Cached, {"causal": True}, ("steps",)),
    "the rotation of the keys has the other sign": (Relative, {"positions": "relative"}, ("distances",)),
    "the bias has the other sign": (lambda fault="": Relative(fault, "bias"), {"positions": "relative"}, ()),
    "the scale is dropped": (scaled, {"layout": "bhtd", "score": "scaled_dot"}, ("formula",)),
    "the scale is squared": (scaled, {"layout": "bhtd", "score": "scaled_dot"}, ("formula",)),
    "heads see each other": (scaled, {"layout": "bhtd", "score": "scaled_dot"}, ("formula",)),
}
