"""What the context is: a weighted sum of values, by weights of every valid position and of every head."""

from collections.abc import Iterator

import torch

from attnbench.guarding.checks.batches import kind_of, mask_line
from attnbench.guarding.checks.masks import masks
from attnbench.guarding.choices import Layout
from attnbench.guarding.convention import Kind
from attnbench.guarding.probe import SMALL, Check, Probe, Size, call
from attnbench.guarding.reasons import has_order, no_gradients, one_sequence
from attnbench.guarding.target import Target

# Logits by the name of a score without parameters, of queries q and keys k (…,T,D), (…,S,D).
FORMULAS = {
    "dot": "q @ k.mT",
    "scaled_dot": "q @ k.mT / {width} ** 0.5",
    "cosine": "torch.nn.functional.normalize(q, dim=-1) @ torch.nn.functional.normalize(k, dim=-1).mT",
}

_SUMS = (
    "equal values give a context that depends on queries and keys: weights do not sum to 1; if they need not, say so: "
    "--unnormalised"
)


def _linear(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind = kind_of(target)

    def of(value: str) -> str:
        return call(target, kind, value=value)

    lines = [
        *mask_line(target, size),
        "other = torch.randn_like(value)",
        f"first = {of('value + other')} + {of('0 * value')}",
        f"second = {of('value')} + {of('other')}",
    ]
    yield Probe(
        tuple(lines), (kind,), "the context is no weighted sum of the values: f(v + w) + f(0) and f(v) + f(w) are"
    )


def _equal_values(target: Target, size: Size, _: int) -> Iterator[Probe]:
    kind = kind_of(target)
    other = {"query": "torch.randn_like(query)", "key": "torch.randn_like(key)"}
    lines = [
        *mask_line(target, size),
        f"value = value[:1, :1].expand({size.batch}, {size.keys}, -1)",
        f"first = {call(target, kind)}",
        f"second = {call(target, kind, **other)}",
    ]
    yield Probe(tuple(lines), (kind,), _SUMS)


def _influence(target: Target, size: Size, seed: int) -> Iterator[Probe]:
    # With small inputs all weights are about equal, so that sparse normalisers exclude nothing either.
    # Of the values alone: the weights of equal keys do not depend on the queries at all.
    name = target.convention.of_source[-1]

    def probe(kind: Kind, mask: list[str], valid: str, queries: str = "") -> Probe:
        lines = [
            *mask,
            f"context = {call(target, kind)}{queries}",
            "loss = (context * torch.randn_like(context)).sum()",
            f"gradient = torch.autograd.grad(loss, {name}, materialize_grads=True)[0]",
            f"first = (gradient.abs().sum(-1) == 0){valid}.sum()  # valid positions without influence",
            "second = torch.zeros_like(first)",
        ]
        breaks = f"{name} has no influence on the context at some valid positions; their number, and 0, are"
        return Probe(tuple(lines), (kind,), breaks, scale=0.01, gradients=True)

    # On the first query, since each position of a single sequence may have an influence on itself alone.
    yield probe(kind_of(target), mask_line(target, size), "", "[:, 0]")
    if target.takes(Kind.KEYS):
        for mask in masks(target, size, seed):
            yield probe(Kind.KEYS, [f"mask = {mask}"], "[mask]")


def _queries_and_keys(target: Target, size: Size, _: int) -> Iterator[Probe]:
    if size.keys < 2:
        return
    kind = kind_of(target)
    # With positions, the weights may depend on the queries alone, as in location-based attention.
    for name in target.convention.inputs[: 2 if target.asked.positions == "none" else 1]:
        lines = [
            *mask_line(target, size),
            f"same = torch.allclose({call(target, kind)}, {call(target, kind, **{name: f'torch.randn_like({name})'})})",
            "first, second = torch.tensor(float(same)), torch.tensor(0.0)",
        ]
        yield Probe(tuple(lines), (kind,), f"{name} has no influence on the context")


def _heads(target: Target, size: Size, _: int) -> Iterator[Probe]:
    found = target.convention
    if size != SMALL[0] or found.heads is None:
        return
    kind, keys = kind_of(target), min(2 * found.heads, target.longest)
    if keys < found.heads:
        return
    one = Size(1, 1, keys)
    lines = [
        f"key, value = (torch.randn(1, {keys}, {found.width}, dtype=query.dtype) for _ in range(2))",
        *mask_line(target, one),
        f"jacobian = torch.autograd.functional.jacobian(lambda v: {call(target, kind, value='v')}[0, 0], value)[:, 0]",
        "first = torch.linalg.matrix_rank(jacobian.transpose(0, 1).flatten(1), rtol=1e-6)",
        f"second = torch.tensor({found.heads})",
    ]
    breaks = "heads share their weights: the numbers of different weights and of heads are"
    yield Probe(tuple(lines), (kind,), breaks, tolerance=1e-3)


def _formula(target: Target, size: Size, _: int) -> Iterator[Probe]:
    found, kind = target.convention, kind_of(target)
    many = found.layout is Layout.BHTD
    width = found.width // (found.heads or 1) if many else found.width
    q, k, v = ("split(query)", "split(key)", "split(value)") if many else ("query", "key", "value")
    logits = FORMULAS[target.asked.score or ""].format(width=width)
    lines = [
        *mask_line(target, size),
        f"first = {call(target, kind)}",
        f"q, k, v = {q}, {k}, {v}",
        f"logits = {logits}",
        *(["logits += torch.full_like(logits, -torch.inf).triu(1)"] if target.asked.causal else []),
        f"second = (logits.softmax(-1) @ v){'.transpose(1, 2).flatten(2)' if many else ''}",
    ]
    yield Probe(tuple(lines), (kind,), f"the context is not that of the score {target.asked.score}")


def _no_sums(target: Target) -> str:
    return "its weights need not sum to 1 (--unnormalised)" if target.asked.unnormalised else one_sequence(target)


def _no_heads(target: Target) -> str:
    if reason := one_sequence(target) or no_gradients(target):
        return reason
    if target.asked.causal:
        return "needs one query and several keys"
    if target.convention.heads is None:
        return "the number of heads is not known: --heads N"
    return "" if target.convention.heads > 1 else "it has one head"


def _no_formula(target: Target) -> str:
    if target.asked.score is None:
        return f"only with --score {'|'.join(FORMULAS)}"
    if target.loaded.is_module and any(True for _ in target.loaded.attention.parameters()):
        return "it has parameters"
    return one_sequence(target)


def _influence_reason(target: Target) -> str:
    return no_gradients(target) or has_order(target)


CHECKS = (
    Check("values", "the context is a weighted sum of the values", one_sequence, _linear),
    Check("equal values", "the weights of a query sum to 1", _no_sums, _equal_values),
    Check("influence", "every valid position has an influence", _influence_reason, _influence),
    Check("queries and keys", "the weights depend on queries and keys", one_sequence, _queries_and_keys, sizes=SMALL),
    Check("heads", "each head has weights of its own", _no_heads, _heads, sizes=SMALL, dtypes=(torch.float64,)),
    Check("formula", "the context is that of the score", _no_formula, _formula),
)
