"""How heads find slots, write and read, against the paper's equations as loops, at their edges, and by gradient."""

from fractions import Fraction

import ntm_equations as paper
import numpy as np
import pytest
import torch
from ntm_equations import CONTROLLERS, EXACT, SCORES, answer, assert_close, beginning, by_hand, ntm
from rnn_equations import LONGEST, WIDTH, batch
from torch import Tensor

from attnbench.models import addressing

BATCH, HEADS, SLOTS, SLOT_WIDTH = 3, 2, 5, 4
ARGUMENTS = {
    "interpolate": ("weights", "weights", "gate"),
    "shift": ("weights", "amounts"),
    "sharpen": ("weights", "power"),
    "write": ("memory", "weights", "erase", "add"),
    "read": ("memory", "weights"),
}


def draw(name: str, seed: int = 0, heads: int = HEADS, slots: int = SLOTS, reach: int = 1) -> Tensor:
    """An argument of the functions, in float64."""
    random = torch.Generator().manual_seed(100 * seed + len(name))
    ends = {"memory": (slots, SLOT_WIDTH), "weights": (heads, slots), "amounts": (heads, 2 * reach + 1)}
    ends |= {"gate": (heads, 1), "power": (heads, 1), "erase": (heads, SLOT_WIDTH), "add": (heads, SLOT_WIDTH)}
    numbers = torch.randn(BATCH, *ends[name], generator=random, dtype=torch.float64)
    if name in ("weights", "amounts"):
        return (2 * numbers).softmax(-1)
    return {"gate": numbers.sigmoid(), "erase": numbers.sigmoid(), "power": 1 + numbers.exp()}.get(name, numbers)


def heads_of(*tensors: Tensor) -> list[list[np.ndarray]]:
    """The arguments of each head by itself, sentence after sentence."""
    return [[t[b, h].numpy() for t in tensors] for b in range(BATCH) for h in range(tensors[0].shape[1])]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_reading_is_equation_2(heads):
    memory, weights = draw("memory"), draw("weights", heads=heads)
    found = addressing.read(memory, weights)
    assert found.shape == (BATCH, heads, SLOT_WIDTH)
    assert_close(
        found, [[paper.read(m, w) for w in each] for m, each in zip(memory.numpy(), weights.numpy(), strict=True)]
    )


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_writing_is_equations_3_and_4(heads):
    memory, weights, erase, add = draw("memory"), *(draw(n, heads=heads) for n in ("weights", "erase", "add"))
    found = addressing.write(memory, weights, erase, add)
    assert_close(found, [paper.write(*(a[b].numpy() for a in (memory, weights, erase, add))) for b in range(BATCH)])


def test_the_order_of_the_writing_heads_does_not_matter():
    """What one adds no other erases in the same step."""
    memory, weights, erase, add = (draw(name, heads=3) for name in ARGUMENTS["write"])
    found = addressing.write(memory, weights, erase, add)
    for order in ([1, 2, 0], [2, 1, 0]):
        other = addressing.write(memory, weights[:, order], erase[:, order], add[:, order])
        torch.testing.assert_close(other, found, rtol=0, atol=1e-12)
    one_slot = torch.zeros(BATCH, 2, SLOTS).double()
    one_slot[..., 2] = 1
    erase, add = torch.ones(BATCH, 2, SLOT_WIDTH).double(), draw("add")
    after = addressing.write(memory, one_slot, erase, add)
    assert torch.equal(after[:, 2], add.sum(1))  # all that stood there is gone, both additions stay
    others = [0, 1, 3, 4]
    assert torch.equal(after[:, others], memory[:, others])


def test_writing_nothing_leaves_the_memory():
    memory, weights, nothing = draw("memory"), draw("weights"), torch.zeros(BATCH, HEADS, SLOT_WIDTH).double()
    before = memory.clone()
    assert torch.equal(addressing.write(memory, weights, nothing, nothing), before)
    addressing.write(memory, weights, draw("erase"), draw("add"))
    assert torch.equal(memory, before)  # the old memory is not overwritten in place


def test_interpolation_is_equation_7():
    by_content, last, gate = draw("weights"), draw("weights", seed=1), draw("gate")
    found = addressing.interpolate(by_content, last, gate)
    expected = [paper.interpolate(c, w, g[0]) for c, w, g in heads_of(by_content, last, gate)]
    assert_close(found.flatten(0, 1), expected)
    assert_close(addressing.interpolate(by_content, last, torch.zeros_like(gate)), last)
    assert_close(addressing.interpolate(by_content, last, torch.ones_like(gate)), by_content)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_interpolation_never_makes_a_weight_negative(dtype):
    """Not even where a gate is all but open and one of the weights all but 0."""
    numbers = torch.tensor([0, 1e-30, 1e-9, 1e-7, 0.1, 1 / 3, 0.9999999, 1], dtype=dtype)
    pairs = torch.cartesian_prod(numbers, numbers)
    for gate in [*numbers, *(1 - numbers), torch.tensor(1 - torch.finfo(dtype).eps, dtype=dtype)]:
        found = addressing.interpolate(pairs[:, 0], pairs[:, 1], gate)
        assert (found >= 0).all()
        torch.testing.assert_close(found, gate * pairs[:, 0] + (1 - gate) * pairs[:, 1], rtol=0, atol=2e-7)


@pytest.mark.parametrize("slots", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("reach", [0, 1, 2])
def test_shifting_is_equation_8(reach, slots):
    """Memories with fewer slots than there are shifts included."""
    weights, amounts = draw("weights", slots=slots), draw("amounts", reach=reach)
    found = addressing.shift(weights, amounts)
    assert_close(found.flatten(0, 1), [paper.shift(w, s) for w, s in heads_of(weights, amounts)])
    assert_close(found.sum(-1), np.ones((BATCH, HEADS)))


@pytest.mark.parametrize(("reach", "j"), [(0, 0), *((1, j) for j in (-1, 0, 1)), *((2, j) for j in range(-2, 3))])
def test_a_shift_of_j_moves_the_focus_from_slot_n_to_slot_n_plus_j(reach, j):
    """And at either end of the memory on to the other end."""
    amounts = torch.eye(2 * reach + 1)[j + reach].expand(1, 1, -1)
    for n in range(SLOTS):
        weights = torch.zeros(1, 1, SLOTS)
        weights[..., n] = 1
        moved = addressing.shift(weights, amounts)[0, 0].tolist()
        assert moved == [float(slot == (n + j) % SLOTS) for slot in range(SLOTS)]


def test_a_shift_of_one_moves_on_and_round_the_end():
    """The direction, spelt out: 0, 1, 2, 0 with j = +1; 0, 2, 1, 0 with j = −1."""
    for amounts, places in (([0.0, 0, 1], [1, 2, 0]), ([1.0, 0, 0], [2, 1, 0])):
        weights = torch.tensor([[[1.0, 0, 0]]])
        for place in places:
            weights = addressing.shift(weights, torch.tensor([[amounts]]))
            assert weights[0, 0].argmax() == place
    blurred = addressing.shift(torch.tensor([[[0.0, 1, 0, 0]]]), torch.tensor([[[0.1, 0.2, 0.7]]]))
    torch.testing.assert_close(blurred, torch.tensor([[[0.1, 0.2, 0.7, 0]]]))


def test_sharpening_is_equation_9():
    weights, power = draw("weights"), draw("power")
    found = addressing.sharpen(weights, power)
    assert_close(found.flatten(0, 1), [paper.sharpen(w, p[0]) for w, p in heads_of(weights, power)])
    assert_close(addressing.sharpen(weights, torch.ones_like(power)), weights)
    equal = torch.full_like(weights, 1 / SLOTS)
    assert_close(addressing.sharpen(equal, power), equal)


@pytest.mark.parametrize("power", [1, 2, 30, 200])
@pytest.mark.parametrize("spread", [0, 1e-6, 1e-3, 0.05, 1])
def test_sharpening_in_float32_stays_a_distribution(spread, power):
    """128 slots with nearly the same weight: (1/128)^200 is 0 in float32 and float64, the quotient is not."""
    random = torch.Generator().manual_seed(0)
    weights = (spread * torch.randn(1, 2, 128, generator=random)).softmax(-1).requires_grad_()
    gamma = torch.full((1, 2, 1), float(power), requires_grad=True)
    found = addressing.sharpen(weights, gamma)
    torch.testing.assert_close(found.sum(-1), torch.ones(1, 2), rtol=0, atol=1e-5)
    for row, own in zip(found[0].tolist(), weights[0].tolist(), strict=True):
        largest = Fraction(max(own))
        raised = [float((Fraction(w) / largest) ** power) for w in own]  # exact until it is rounded, here
        expected = [r / sum(raised) for r in raised]
        np.testing.assert_allclose(row, expected, rtol=2e-4, atol=1e-7)
    gradients = torch.autograd.grad((found * torch.linspace(-1, 1, 128)).sum(), (weights, gamma))
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("power", [1.0, 1 + 1e-6, 1.5, 2, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sharpenings_gradient_is_finite_and_right_where_a_weight_is_0(dtype, power):
    """∂y_n/∂w_m = γ w_m^{γ−1} (δ_nm − y_n)/Σ w^γ and ∂y_n/∂γ = y_n (log w_n − Σ_m y_m log w_m), with 0 log 0 = 0."""
    weights = torch.tensor([0, 0.5, 0, 0.3, 0.2], dtype=dtype, requires_grad=True)
    gamma = torch.tensor([power], dtype=dtype, requires_grad=True)
    w, y = weights.tolist(), paper.sharpen(np.array(weights.tolist()), gamma.item())
    logs = [np.log(x) if x else 0.0 for x in w]
    total, mean = sum(x ** gamma.item() for x in w), sum(a * b for a, b in zip(y, logs, strict=True))
    found = addressing.sharpen(weights, gamma)
    for n in range(5):
        by_weight, by_power = torch.autograd.grad(found[n], (weights, gamma), retain_graph=True)
        slopes = [gamma.item() * x ** (gamma.item() - 1) for x in w]
        expected = [slopes[m] * ((n == m) - y[n]) / total for m in range(5)]
        np.testing.assert_allclose(by_weight, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(by_power, [y[n] * (logs[n] - mean)], rtol=1e-4, atol=1e-6)


def test_sharpening_a_single_slot_changes_nothing():
    """One slot with all the weight keeps it, whatever the power; and with a memory of one slot there is no other."""
    for weights in (torch.tensor([0.0, 0, 1, 0]), torch.tensor([1.0])):
        for power in (1.0, 3, 1e4):
            assert torch.equal(addressing.sharpen(weights, torch.tensor([power])), weights)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_gradients_are_those_of_finite_differences(name):
    arguments = [draw(kind, seed=i).requires_grad_() for i, kind in enumerate(ARGUMENTS[name])]
    assert torch.autograd.gradcheck(getattr(addressing, name), arguments)


def test_the_gradient_of_sharpening_is_right_where_two_weights_are_the_largest():
    weights = torch.tensor([[0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64, requires_grad=True)
    power = torch.tensor([[2.0], [1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(addressing.sharpen, (weights, power))


# From here on, the functions in the machine.


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("controller", CONTROLLERS)
def test_it_begins_at_slot_0_of_a_constant_memory(controller, heads):
    """Nothing was read, every slot holds 1e-6, whatever the parameters are."""
    for seed in (0, 1):
        machine = beginning(ntm(seed=seed, controller=controller, heads=heads))
        assert machine.memory.shape == (2, 5, 3)
        assert (machine.memory == 1e-6).all()
        assert machine.weights.tolist() == [[[1, 0, 0, 0, 0]] * 2 * heads] * 2
        assert machine.read.shape == (2, heads * 3)
        assert machine.controller.shape == (2, {"lstm": 2, "gru": 1, "feedforward": 0}[controller] * WIDTH)
        assert not machine.read.any()
        assert not machine.controller.any()


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_every_head_has_an_address_of_its_own(heads):
    """Other numbers for one head, and at the first step that one alone goes elsewhere."""
    model = ntm(heads=heads, slots=7)
    word = torch.tensor([[3]])
    first = model.encode(word, None)[1]
    assert len({tuple(row.tolist()) for row in first.weights[0]}) == 2 * heads
    rows = len(model.address_proj.weight) // (2 * heads)
    for h in range(2 * heads):
        other = ntm(heads=heads, slots=7)
        with torch.no_grad():
            other.address_proj.bias[h * rows : (h + 1) * rows].neg_()
        second = other.encode(word, None)[1]
        changed = (second.weights != first.weights).any(-1)[0].tolist()
        assert changed == [h == each for each in range(2 * heads)]
        assert torch.equal(second.memory, first.memory) == (h < heads)  # the first `heads` read, the others write


@pytest.mark.parametrize("scale", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("shifts", [0, 2])
@pytest.mark.parametrize("score", SCORES)
def test_every_heads_weights_are_a_distribution(score, shifts, scale):
    """In float32 too, with a memory of 128 slots, and parameters that saturate every function."""
    model = ntm(score, heads=2, slots=128, shifts=shifts).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    source = torch.randint(3, 8, (3, 25), generator=torch.Generator().manual_seed(0))
    memory, state = model.encode(source, None)
    states = [beginning(model), state, *(s for s, _, _ in answer(model, memory, state, source[:, :15]))]
    for machine in states:
        assert (machine.weights >= 0).all()
        torch.testing.assert_close(machine.weights.sum(-1), torch.ones(machine.weights.shape[:2]), rtol=0, atol=1e-5)
        assert all(part.isfinite().all() for part in machine)


@pytest.mark.parametrize("score", SCORES)
def test_gradients_through_a_long_sentence_are_finite_in_float32(score):
    """With the weights as they are drawn for training, 128 slots and 40 words."""
    machine = ntm(score, slots=128, slot_width=20, width=32).float()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in machine.parameters():
            bound = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.2
            parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=random) - 1))
    source = torch.randint(3, 8, (2, 40), generator=random)
    likelihood = machine(source, None, source).logits.log_softmax(-1)
    (-likelihood.gather(-1, source[..., None]).mean()).backward()
    for name, parameter in machine.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.norm() < 100, name


def test_turning_the_memory_turns_all_that_happens():
    """The slots are a circle: with memory and weights turned by k slots, the same words come, k slots further on."""
    model = ntm(heads=2, shifts=2)
    source, lengths, previous = batch()
    memory, state = model.encode(source, lengths)
    for k in (1, 3):
        turned = state._replace(memory=state.memory.roll(k, 1), weights=state.weights.roll(k, 2))
        there = answer(model, memory.roll(k, 2), turned, previous)
        for (one, words, row), (two, other, own) in zip(answer(model, memory, state, previous), there, strict=True):
            torch.testing.assert_close(other, words, **EXACT)
            torch.testing.assert_close(own, row, **EXACT)
            torch.testing.assert_close(two.memory, one.memory.roll(k, 1), **EXACT)
            torch.testing.assert_close(two.weights, one.weights.roll(k, 2), **EXACT)


@pytest.mark.parametrize(("shifts", "j"), [(0, 0), *((1, j) for j in (-1, 0, 1)), *((2, j) for j in range(-2, 3))])
def test_heads_move_by_their_shifts_from_slot_0_on(shifts, j):
    """With closed gates and one sure shift: before the first word is written, and round the ends of the memory."""
    model = by_hand(reading=[j], writing=[-j], shifts=shifts)
    memory, state = model.encode(torch.full((1, LONGEST), 3), None)
    trace = answer(model, memory, state, torch.zeros(1, 6))
    written = [-j * (i + 1) % 5 for i in range(LONGEST)]
    assert_close(memory[0], np.eye(5)[written])
    for t, (machine, _, weights) in enumerate(trace):
        reading = j * (LONGEST + t + 1) % 5
        assert_close(machine.weights[0], np.eye(5)[[reading, -reading % 5]])
        assert_close(weights[0], [float(slot == reading) for slot in written])
