"""How an attention is called is found out from its names and from the shapes that it accepts."""

import sys
import types

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

import attnbench
from attnbench import AttnbenchError
from attnbench.guarding.choices import Layout, Mask
from attnbench.guarding.convention import Kind
from tests.guarding.examining import examined, failed, target_of


def attended(query, key, value, mask=None):
    """Dot-product attention; the mask broadcasts to (B,T,S)."""
    logits = query @ key.mT / key.shape[-1] ** 0.5
    if mask is None:
        return logits.softmax(-1) @ value
    return (logits.masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(-1) * mask) @ value


class OfKeys(nn.Module):
    """Takes a mask (B,S) alone."""

    def __init__(self, width=16):
        super().__init__()
        self.d_model = width

    def forward(self, q, k, v, mask=None):
        return attended(q, k, v, None if mask is None else mask[:, None])


class HuggingFace(nn.Module):
    """As in transformers: one or two sequences, a mask (B,1,1,S) that is added, and a tuple."""

    def __init__(self, hidden_size=24):
        super().__init__()
        self.hidden_size = hidden_size
        self.proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden_states, attention_mask=None, encoder_hidden_states=None, output_attentions=False):
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        logits = self.proj(hidden_states) @ source.mT / self.hidden_size**0.5
        if attention_mask is not None:
            logits = logits + attention_mask.squeeze(1).clamp(min=torch.finfo(logits.dtype).min)
        return logits.softmax(-1) @ source, None


class BatchSecond(OfKeys):
    """Takes (T,B,D)."""

    batch_first = False

    def forward(self, query, key, value, key_padding_mask=None):
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None]
        return attended(query, key, value, mask).transpose(0, 1)


def of_heads(query, key, value, mask=None):
    assert query.ndim == 4
    assert key.shape[:2] == query.shape[:2]
    return attended(query, key, value, mask)


def of_bias(query, key, value, attn_bias=None):
    logits = query @ key.mT
    return (logits if attn_bias is None else logits + attn_bias).softmax(-1) @ value


def of_one(x, mask=None):
    return attended(x, x, x, None if mask is None else mask[:, None])


def unnamed(a, b, c, d=None):
    return attended(a, b, c, None if d is None else d[:, None])


FOUND = [
    (OfKeys(), {}, (("query", "key", "value"), Layout.BTD, Mask.ATTEND, 16), {Kind.NONE, Kind.KEYS}),
    (HuggingFace(), {}, (("query", "source"), Layout.BTD, Mask.ADDITIVE, 24), {Kind.NONE, Kind.KEYS, Kind.PAIRS}),
    (BatchSecond(), {}, (("query", "key", "value"), Layout.TBD, Mask.PADDING, 16), {Kind.NONE, Kind.KEYS}),
    (of_heads, {}, (("query", "key", "value"), Layout.BHTD, Mask.ATTEND, 32), set(Kind)),
    (of_bias, {}, (("query", "key", "value"), Layout.BTD, Mask.ADDITIVE, 32), set(Kind)),
    (of_one, {"width": 8}, (("sequence",), Layout.BTD, Mask.ATTEND, 8), {Kind.NONE, Kind.KEYS}),
    (unnamed, {}, (("query", "key", "value"), Layout.BTD, Mask.ATTEND, 32), {Kind.NONE, Kind.KEYS}),
    (of_bias, {"mask": "none"}, (("query", "key", "value"), Layout.BTD, Mask.NONE, 32), {Kind.NONE}),
    (scaled_dot_product_attention, {}, (("query", "key", "value"), Layout.BHTD, Mask.ATTEND, 32), set(Kind)),
    (nn.MultiheadAttention(12, 3), {}, (("query", "key", "value"), Layout.TBD, Mask.PADDING, 12), set(Kind)),
]  # fmt: skip


@pytest.mark.parametrize(("attention", "options", "expected", "kinds"), FOUND)
def test_the_convention_is_found(attention, options, expected, kinds):
    found = target_of(attention, **options).convention
    assert (found.inputs, found.layout, found.mask, found.width) == expected
    assert set(found.calls) == kinds


@pytest.mark.parametrize(
    "attention", [OfKeys(), BatchSecond(), of_heads, of_one, unnamed, scaled_dot_product_attention]
)
def test_and_it_passes_all_checks(attention):
    assert failed(attention) == []


def test_a_tuple_begins_with_the_context():
    target = target_of(HuggingFace())
    assert target.convention.returns == "a tuple that begins with the context"
    assert all("[0]" in call for call in target.convention.calls.values())


def test_with_causal_an_attention_of_two_sequences_is_given_one():
    assert target_of(HuggingFace(), causal=True).convention.inputs == ("sequence",)


def test_a_mask_is_not_found_out_by_trying():
    """An inverted mask would be taken for the other convention; it is a hint only."""

    def inverted(query, key, value, mask=None):
        return attended(query, key, value, None if mask is None else ~mask)

    result = examined(inverted)["padding"]
    assert result.outcome == "failed"
    assert "--mask padding" in result.reason
    assert failed(inverted, mask="padding") == []


def test_an_attention_that_cannot_be_called_with_the_opposite_mask_gets_its_report():
    def ignores(query, key, value, mask):
        assert mask[..., 0].all()
        return attended(query, key, value)

    result = examined(ignores)["padding"]
    assert (result.outcome, result.reason) == ("failed", "what stands at masked positions changes the context")


def test_an_additive_mask_that_is_given_as_one_that_is_true_is_found():
    assert "padding" in failed(of_bias, mask="attend")


def wrong_shape(query, key, value, mask=None):
    return query[:, :1]


def raises(query, key, value, mask=None):
    raise RuntimeError("no kernel")


def exits(query, key, value, mask=None):
    sys.exit(0)


class Unreadable:
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


class Learned(OfKeys):
    """Has vectors for the positions of 8 keys alone."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Embedding(8, 16)

    def forward(self, q, k, v, mask=None):
        return super().forward(q, k + self.positions(torch.arange(k.shape[1])), v, mask)


class Lazy(OfKeys):
    def __init__(self):
        super().__init__()
        self.proj = nn.LazyLinear(16)


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (wrong_shape, ["returned a tensor (3, 1, 32), expected (3, 5, 32)", "query (3, 5, 32), key (3, 7, 32)"]),
        (raises, ["raised RuntimeError: no kernel", "module(query, key, value)", "--layout"]),
        (lambda query, key, value, mask=None: "text", ["returned a value of type str"]),
        (lambda query, key, value, mask=None: None, ["returned None"]),
        (lambda query, key, value, mask=None: {"x": query}, ["returned a value of type dict"]),
        (lambda query, key, value, mask=None: query + 1j, ["returned a tensor of torch.complex64"]),
        (lambda query, key, value, mask=None: query.to_sparse(), ["torch.sparse_coo"]),
        (lambda query, key, value, mask=None: query.to("meta"), ["a context on meta, for inputs on cpu"]),
        (lambda query, key, value, mask=None: Unreadable(), ["raised RuntimeError: no context"]),
        (exits, ["raised RuntimeError: SystemExit 0"]),
        (Learned(), ["query (2, 11, 16), key (2, 13, 16)", "raised IndexError", "--longest"]),
        (Lazy(), ["without a shape", "call it once"]),
    ],
)
def test_an_attention_that_cannot_be_called_is_told_with_what_was_called_and_came_back(attention, expected):
    with pytest.raises(AttnbenchError) as error:
        target_of(attention)
    assert all(part in str(error.value) for part in expected)


def test_it_is_never_called_with_more_positions_than_the_longest():
    assert failed(Learned(), longest=8, positions="absolute") == []
    results = examined(Learned(), longest=8, positions="relative", heads=8).values()
    cases = [result.counterexample for result in results if result.counterexample and result.outcome == "failed"]
    assert cases  # it is not relative, and has one head
    assert not [case for case in cases if case.first is None], "no call raised"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda context: {"context": context}, "a mapping whose context is the context"),
        (lambda context: types.SimpleNamespace(output=context), "an object whose output is the context"),
        (lambda context: [context, None], "a tuple that begins with the context"),
    ],
)
def test_the_context_is_found_in_what_is_returned(result, words):
    def attention(*, query, key, value, mask):  # by keyword only, and with a mask that has no default
        return result(attended(query, key, value, mask))

    found = target_of(attention).convention
    assert found.returns == words
    assert found.calls[Kind.NONE].startswith("module(query=query, key=key, value=value, mask=None)")


def test_an_attention_may_keep_what_it_computed():
    """Such a module cannot be copied after a call."""

    class Keeps(OfKeys):
        def forward(self, q, k, v, mask=None):
            self.last = super().forward(q, k, v, mask)
            return self.last

    assert failed(Keeps()) == []


def test_one_sequence_whose_positions_do_not_see_each_other_is_found():
    assert "influence" in failed(nn.Identity())


def test_frozen_parameters_have_no_gradients():
    assert failed(nn.MultiheadAttention(8, 2, batch_first=True).requires_grad_(False)) == []


def test_an_exit_in_a_later_call_fails_the_check():
    def attention(query, key, value, mask=None):
        return exits(query, key, value) if len(query) == query.shape[1] == 1 else attended(query, key, value, mask)

    assert examined(attention)["inputs"].counterexample.found == "raised RuntimeError: SystemExit 0"


def test_a_call_that_returns_something_else_for_some_sizes_fails_the_check():
    def attention(query, key, value, mask=None):
        return None if query.shape[:2] == (2, 3) else attended(query, key, value, mask)

    result = examined(attention)["repeatable"]
    assert result.outcome == "failed"
    assert "raised" in result.counterexample.found


def test_a_check_in_a_dtype_that_it_cannot_compute_in_does_not_apply():
    def attention(query, key, value, mask=None):
        if query.dtype in (torch.float64, torch.float16):
            raise RuntimeError
        return attended(query, key, value, mask)

    results = examined(attention)
    assert results["gradcheck"].reason == "it cannot compute in float64"
    assert results["float16"].outcome == "not applicable"


def test_parameters_without_values_are_told():
    with pytest.raises(AttnbenchError, match="on the device meta"):
        target_of(nn.MultiheadAttention(8, 2, device="meta"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(AttnbenchError, match="finds no GPU"):
        target_of(of_heads, device="cuda")


@pytest.mark.parametrize(
    "options", [{"layout": "bdt"}, {"mask": "x"}, {"positions": "x"}, {"score": "x"}, {"device": "x"}]
)
def test_a_choice_that_does_not_exist_is_told(options):
    with pytest.raises(AttnbenchError, match="expected one of"):
        target_of(of_heads, **options)


def test_parameters_that_are_zero_do_not_hide_a_fault():
    class ZeroOutput(OfKeys):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(16, 16)
            nn.init.zeros_(self.out.weight)

        def forward(self, q, k, v, mask=None):
            return self.out(attended(q, k, v, None))

    assert "padding" in failed(ZeroOutput())


def test_the_given_module_is_left_as_it_was():
    module = nn.MultiheadAttention(8, 2, batch_first=True).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    target_of(module)
    examined(module)
    assert module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_the_attention_of_attnbench_is_called_with_lengths():
    attention = attnbench.Attention("additive", width=16)
    found = target_of(attention).convention
    assert (found.mask, found.width) == (Mask.LENGTHS, 16)
    assert found.calls[Kind.KEYS] == "module(query, key, value, source_lengths=mask.sum(-1)).context"
    assert failed(attention) == []


class KeepsWeights(OfKeys):
    """Keeps the weights of its last call, as many attentions do to draw them."""

    attn = None

    def forward(self, q, k, v, mask=None):
        self.attn = (q @ k.mT + torch.zeros(1, requires_grad=True)).softmax(-1)
        self.log = {"weights": [self.attn]}
        return super().forward(q, k, v, mask)


def test_a_module_that_keeps_its_weights_is_tested():
    module = KeepsWeights()
    module(*(torch.randn(1, 2, 16) for _ in range(3)))
    assert failed(module) == []
    assert module.attn.grad_fn is not None


class Bert(HuggingFace):
    """Its attention_mask is over the queries' own sequence, and is not used with encoder_hidden_states."""

    def forward(self, hidden_states, attention_mask=None, encoder_hidden_states=None, encoder_attention_mask=None):
        if encoder_hidden_states is not None:
            attention_mask = encoder_attention_mask
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        logits = self.proj(hidden_states) @ source.mT
        return (logits if attention_mask is None else logits + attention_mask.squeeze(1)).softmax(-1) @ source


def test_a_mask_over_the_queries_own_sequence_is_not_taken_for_one_of_the_source():
    assert all("encoder_attention_mask=" in call for call in list(target_of(Bert()).convention.calls.values())[1:])
    assert failed(Bert()) == []


def test_an_additive_mask_that_excludes_everything_is_finite():
    """As transformers makes its masks: no softmax gives a number for a row of -inf."""
    assert failed(of_bias) == []


def of_integers(query, key, value, attention_mask=None):
    """Subtracts its mask, which PyTorch refuses for bool."""
    logits = query @ key.mT / 6
    if attention_mask is not None:
        logits = logits + (1 - attention_mask[:, None]).to(logits.dtype) * -1e4
    return logits.softmax(-1) @ value


def test_a_mask_of_integers_is_found():
    assert target_of(of_integers).convention.calls[Kind.KEYS].endswith("attention_mask=(mask).long())")
    assert failed(of_integers) == []


def inverted_integers(query, key, value, attention_mask=None):
    return of_integers(query, key, value, None if attention_mask is None else 1 - attention_mask)


def test_and_a_fault_in_its_use_too():
    assert "padding" in failed(inverted_integers)


def weights_first(query, key, value, mask=None):
    context = attended(query, key, value, None if mask is None else mask[:, None])
    return query @ key.mT, context


def in_a_dict(query, key, value, mask=None):
    weights, context = weights_first(query, key, value, mask)
    return {"weights": weights, "context": context}


@pytest.mark.parametrize(
    ("attention", "ending", "returns"),
    [
        (weights_first, "[1]", "a tuple whose value 1 is the context"),
        (in_a_dict, '["context"]', "a mapping whose context is the context"),
    ],
)
def test_the_context_may_come_after_the_weights(attention, ending, returns):
    found = target_of(attention).convention
    assert all(call.endswith(ending) for call in found.calls.values())
    assert found.returns == returns
    assert failed(attention) == []


def positions_first(decoder_output, encoder_outputs, mask=None):
    """Takes (T,B,D), (S,B,D) and a mask (B,S), and does not say so."""
    query, source = (x.transpose(0, 1) for x in (decoder_output, encoder_outputs))
    return attended(query, source, source, None if mask is None else mask[:, None]).transpose(0, 1)


def test_the_layout_tbd_is_found():
    assert target_of(positions_first).convention.layout is Layout.TBD
    assert failed(positions_first) == []


def with_odd_mask(query, key, value, mask=None):
    """Takes a mask (S,) of one sentence alone."""
    if mask is not None and mask.ndim != 1:
        raise ValueError("expected a mask (S,)")
    return attended(query, key, value, mask)


def test_a_mask_that_no_call_could_pass_is_shown_as_such():
    result = examined(with_odd_mask)["padding"]
    assert result.outcome == "not applicable"
    assert "no call with a mask worked: module(query, key, value, mask=mask)" in result.reason
    assert "raised ValueError: expected a mask (S,)" in result.reason


def causal_one(x):
    triangle = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
    return attended(x, x, x, triangle)


def unnormalised(query, key, value):
    return (query @ key.mT).sigmoid() @ value


@pytest.mark.parametrize(
    ("attention", "check", "option"),
    [(causal_one, "permutation", "--causal"), (unnormalised, "equal values", "--unnormalised")],
)
def test_an_option_that_was_forgotten_is_named(attention, check, option):
    assert option in examined(attention)[check].reason
    assert failed(attention, **{option.strip("-"): True}) == []
