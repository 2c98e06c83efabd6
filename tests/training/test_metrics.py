"""The metrics by examples worked out by hand, with a stack that says what it is told to."""

import math

import numpy as np
import pytest
import sacrebleu
import torch
from small_packs import CPU, pack, stack
from torch import Tensor

from attnbench import registry
from attnbench.tasks.base import Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import validation_set
from attnbench.tasks.pairs import UNKNOWN
from attnbench.training import metrics
from attnbench.training.metrics import evaluate

# Two sentences with sources of 3 words. Word 1 of the second target renders nothing, word 0 two source words.
SOURCE = np.array([[3, 4, 5], [6, 7, 8]])
TARGET = np.array([[3, 4, 5], [6, 7, 0]])
LINKS = np.zeros((2, 3, 3), bool)
LINKS[0] = np.eye(3)
LINKS[1, 0, :2] = True
EXAMPLES = Examples(SOURCE, TARGET, LINKS)
GOLD = [[3, 4, 5, 2], [6, 7, 2, 0]]


class Words:
    """A task with nothing but its words."""

    def __init__(self, bleu: bool = False) -> None:
        self.source_words = self.target_words = ["<pad>", "<bos>", "</s>", "l'", "ami", "dort.", "n'", "y", "va-t-il"]
        if bleu:
            self.bleu = True


class Told:
    """A stack that gives back what it was given, (K,N,…); greedy words are PAD beyond those given."""

    def __init__(self, words=None, nats=None, weights=None) -> None:
        self.words = torch.tensor([GOLD] if words is None else words)
        self.replicas = len(self.words)
        self.nats = torch.zeros(self.replicas, 2, 4) if nats is None else torch.tensor(nats)
        self.weights = torch.zeros(self.replicas, 2, 4, 4) if weights is None else torch.as_tensor(weights)

    def evaluated(self, _batch, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        assert steps >= self.words.shape[2]
        return torch.nn.functional.pad(self.words, (0, steps - self.words.shape[2])), self.nats, self.weights


def measure(stack: Told, examples=EXAMPLES, attends=True, bleu=False):
    return evaluate(stack, [examples], Words(bleu), attends, CPU)


def weights(*rows: list[float]) -> np.ndarray:
    """Weights (1,2,4,4) whose rows are given for the words 0, 1, 2 of the first target and 0, 1 of the second.

    The rows of EOS, and of what lies beyond it, lie on the first word: they must not count as links.
    """
    found = np.zeros((1, 2, 4, 4))
    found[..., 0] = 1
    found[0, 0, :3], found[0, 1, :2] = rows[:3], rows[3:]
    return found


# Words 0 and 3 are right, 1 is wrong, 2 looks at EOS, 4 has no gold: |A| = 4, |G| = 5, |A∩G| = 2.
MIXED = weights(
    [0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1], [0.1, 0.1, 0.2, 0.6], [0.2, 0.5, 0.2, 0.1], [0, 0.8, 0.2, 0]
)
PERFECT = weights([1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 1.0])


@pytest.mark.parametrize(
    ("words", "exact", "accuracy"),
    [
        (GOLD, 1, 1),
        ([[3, 4, 5, 2], [6, 7, 7, 2]], 1 / 2, 6 / 7),  # EOS is missed
        ([[3, 4, 5, 5], [6, 7, 2, 0]], 1 / 2, 6 / 7),  # EOS is missed at the longest
        ([[3, 4, 2, 0], [6, 7, 2, 0]], 1 / 2, 5 / 7),  # EOS comes early
        ([[4, 3, 5, 2], [7, 6, 2, 0]], 0, 3 / 7),
        ([[2, 0, 0, 0], [2, 0, 0, 0]], 0, 0),  # that PAD is PAD earns nothing
    ],
)
def test_exact_match_and_token_accuracy(words, exact, accuracy):
    """EOS counts, PAD does not; of 3+1 and 2+1 gold words."""
    for bleu in (False, True):
        (found,) = measure(Told([words]), bleu=bleu)
        assert found["exact_match"] == pytest.approx(exact)
        assert found["token_accuracy"] == pytest.approx(accuracy)


def test_loss_is_in_nats_per_gold_word():
    nats = [[[-1.0, -2.0, -3.0, -4.0], [-0.5, -0.25, -0.25, -1e9]]]
    assert measure(Told(nats=nats))[0]["loss"] == pytest.approx(11 / 7)


def test_the_loss_of_a_uniform_model_is_the_logarithm_of_the_vocabulary():
    uniform = pack(seeds=(0, 1), score="additive")
    built = stack(uniform)
    for name in ("weight", "bias"):
        built.parameters[f"model.readout.{name}"].data.zero_()
    cell = uniform.cell
    task = build_task(cell.task, cell.data)
    for row in evaluate(built, validation_set(task, cell.task, cell.data), task, True, CPU):
        assert row["loss"] == pytest.approx(math.log(6 + 3))


@pytest.mark.parametrize(("rows", "aer"), [(MIXED, 1 - 4 / 9), (PERFECT, 1 - 8 / 9)])
def test_aer_by_hand(rows, aer):
    """A takes one link per word, so that a word with two gold links costs even when it is right."""
    assert measure(Told(weights=rows))[0]["aer"] == pytest.approx(aer)


def test_aer_of_one_link_per_word_is_0_and_shifted_links_make_it_1():
    first = Examples(SOURCE[:1], TARGET[:1], LINKS[:1])
    told = Told([GOLD[:1]], [[[0.0] * 4]], PERFECT[:, :1])
    assert measure(told, first)[0]["aer"] == 0
    for shift in (1, 2):
        shifted = Examples(SOURCE[:1], TARGET[:1], np.roll(LINKS[:1], shift, axis=2))
        assert measure(told, shifted)[0]["aer"] == 1
        assert measure(told, shifted)[0]["alignment_mass"] == 0


POSSIBLE = LINKS.copy()
POSSIBLE[0, 1, 2] = POSSIBLE[1, 1, 1] = True  # where the words 1 and 4 of MIXED look


def test_possible_links_are_not_wrong_and_not_required():
    """Och & Ney: |A| = 4, |S| = 5, |A∩S| = 2, |A∩P| = 4. Word 4 has a possible link alone."""
    (found,) = measure(Told(weights=MIXED), Examples(SOURCE, TARGET, LINKS, POSSIBLE))
    assert found["aer"] == pytest.approx(1 - (2 + 4) / (4 + 5))
    assert found["pointing"] == pytest.approx(4 / 5)
    assert found["alignment_mass"] == pytest.approx((0.7 + 0.8 + 0.2 + 0.7 + 0.8) / 5)
    alike = [measure(Told(weights=MIXED), Examples(SOURCE, TARGET, LINKS, same)) for same in (None, LINKS)]
    assert alike[0] == alike[1]


def test_pointing_is_the_share_of_words_with_gold_that_look_at_it():
    assert measure(Told(weights=MIXED))[0]["pointing"] == pytest.approx(2 / 4)
    assert measure(Told(weights=PERFECT))[0]["pointing"] == 1
    nowhere = MIXED.copy()
    nowhere[0, 0, 0] = 0  # position 0 would be right
    assert measure(Told(weights=nowhere))[0]["pointing"] == pytest.approx(1 / 4)


def test_the_last_patch_of_an_image_is_a_position_like_the_others():
    """There is no EOS among the patches: four of them may be attended to, and have links."""
    images = np.zeros((2, 8, 32), np.float32)
    links = np.pad(LINKS, ((0, 0), (0, 0), (0, 1)))
    links[0, 2] = [False, False, False, True]  # where word 2 of MIXED looks
    (found,) = measure(Told(weights=MIXED), Examples(images, TARGET, links))
    assert found["aer"] == pytest.approx(1 - 6 / (5 + 5))  # |A| = 5, one of them of word 4, which has no gold
    assert found["pointing"] == pytest.approx(3 / 4)
    uniform = np.full((1, 2, 4, 4), 0.25)
    (found,) = measure(Told(weights=uniform), Examples(images, TARGET, links))
    assert found["alignment_entropy"] == pytest.approx(1)
    assert found["attended"] == 1
    assert found["alignment_mass"] == pytest.approx((0.25 * 3 + 0.5) / 4)


def test_a_word_that_looks_nowhere_is_linked_to_nothing():
    """As one that looks at EOS: |A| = 3, |G| = 5, |A∩G| = 2; that it would point to position 0 is no link."""
    nowhere = MIXED.copy()
    nowhere[0, 0, 1] = 0
    assert measure(Told(weights=nowhere))[0]["aer"] == pytest.approx(1 - 4 / 8)
    nowhere[0, 0, 0] = 0  # here position 0 would be right
    assert measure(Told(weights=nowhere))[0]["aer"] == pytest.approx(1 - 2 / 7)


def test_alignment_mass_is_the_weight_on_a_words_gold_links():
    """Words 0 to 3 have any: .7, .2, .2 and .2 + .5."""
    assert measure(Told(weights=MIXED))[0]["alignment_mass"] == pytest.approx(1.8 / 4)
    assert measure(Told(weights=PERFECT))[0]["alignment_mass"] == pytest.approx(1)


def test_alignment_entropy_is_over_log_s_on_every_row_with_a_word():
    def entropy(row):
        total = sum(row)
        return -sum(w / total * math.log(w / total) for w in row if w > 0) / math.log(4)

    rows = [*MIXED[0, 0], *MIXED[0, 1, :3]]  # 3 + EOS, 2 + EOS
    assert measure(Told(weights=MIXED))[0]["alignment_entropy"] == pytest.approx(sum(map(entropy, rows)) / 7)
    # Rows of local-p sum to less than 1: it is the shape that is measured.
    assert measure(Told(weights=MIXED * 0.3))[0]["alignment_entropy"] == pytest.approx(sum(map(entropy, rows)) / 7)


@pytest.mark.parametrize(
    ("row", "entropy"), [([0.25] * 4, 1), ([0, 0, 1.0, 0], 0), ([0.0] * 4, 0), ([0.5, 0.5, 0, 0], 0.5)]
)
def test_alignment_entropy_of_uniform_is_1_and_of_one_hot_0(row, entropy):
    everywhere = np.broadcast_to(np.array(row), (1, 2, 4, 4))
    assert measure(Told(weights=everywhere.copy()))[0]["alignment_entropy"] == pytest.approx(entropy)


def test_bleu_is_that_of_sacrebleu_on_the_words_before_eos():
    words = [[3, 4, 5, 6, 7, 8, 2, 0], [6, 7, 8, 8, 8, 8, 8, 8]]  # the second does not end, and is longer than gold
    examples = Examples(SOURCE, np.array([[3, 4, 5, 6, 8, 0], [6, 7, 8, 8, 7, 3]]), None)
    told = Told([words], [[[0.0] * 7] * 2], np.zeros((1, 2, 7, 4)))
    (found,) = measure(told, examples, bleu=True)
    expected = sacrebleu.corpus_bleu(
        ["l' ami dort. n' y va-t-il", "n' y va-t-il va-t-il va-t-il va-t-il va-t-il va-t-il"],
        [["l' ami dort. n' va-t-il", "n' y va-t-il va-t-il y l'"]],
        tokenize="none",
        force=True,
    ).score
    assert 0 < expected < 100
    assert found["bleu"] == pytest.approx(expected)


def test_bleu_of_the_references_themselves_is_100():
    examples = Examples(SOURCE, np.array([[3, 4, 5, 6, 8], [6, 7, 8, 8, 0]]), None)
    told = Told([[[3, 4, 5, 6, 8, 2], [6, 7, 8, 8, 2, 0]]], [[[0.0] * 6] * 2], np.zeros((1, 2, 6, 4)))
    assert measure(told, examples, bleu=True)[0]["bleu"] == pytest.approx(100)


def test_a_hypothesis_may_be_longer_than_its_reference():
    """Cut at the reference's length, a decoder that never ends would be scored as if it had ended."""
    asked = []
    told = Told([[[3, 4, 5, 2], [6, 7, 2, 0]]])
    ended = told.evaluated
    told.evaluated = lambda batch, steps: asked.append(steps) or ended(batch, steps)
    measure(told, bleu=True)
    assert asked[0] > len(GOLD[0])


UNKNOWN_TARGETS = Examples(SOURCE, np.array([[4, -1, 5, 6, 7], [-2, 4, 5, 6, -2]]), None)


class WithUnknown(Words):
    """As `Pairs`: word 3 is <unk>, and the references have two words outside the vocabulary."""

    def __init__(self) -> None:
        super().__init__(bleu=True)
        self.source_words = self.target_words = [*self.source_words[:3], UNKNOWN, *self.source_words[3:]]
        self.unknown_words = ["chien", UNKNOWN]


def test_a_word_outside_the_vocabulary_is_always_wrong():
    """What else could a model output that would be right: not <unk>, in whose place the reference has it."""
    right_but_for_unknown = [[4, 3, 5, 6, 7, 2], [3, 4, 5, 6, 3, 2]]
    told = Told([right_but_for_unknown], [[[-1.0] * 6] * 2], np.zeros((1, 2, 6, 4)))
    (found,) = evaluate(told, [UNKNOWN_TARGETS], WithUnknown(), True, CPU)
    assert found["exact_match"] == 0
    assert found["token_accuracy"] == pytest.approx(9 / 12)
    assert found["loss"] == pytest.approx(1)
    expected = sacrebleu.corpus_bleu(
        ["l' A ami dort. n'", "B l' ami dort. C"],
        [["l' chien ami dort. n'", "<unk> l' ami dort. <unk>"]],
        tokenize="none",
        force=True,
    ).score
    assert 0 < found["bleu"] < 100
    assert found["bleu"] == pytest.approx(expected)


def test_under_teacher_forcing_a_word_outside_the_vocabulary_is_unk():
    batches = []
    told = Told([[[0] * 6] * 2], [[[-1.0] * 6] * 2], np.zeros((1, 2, 6, 4)))
    answers = told.evaluated
    told.evaluated = lambda batch, steps: batches.append(batch) or answers(batch, steps)
    evaluate(told, [UNKNOWN_TARGETS], WithUnknown(), True, CPU)
    assert batches[0].target.tolist() == [[4, 3, 5, 6, 7, 2], [3, 4, 5, 6, 3, 2]]
    assert batches[0].previous.tolist() == [[1, 4, 3, 5, 6, 7], [1, 3, 4, 5, 6, 3]]


def test_a_metric_without_meaning_is_none():
    alignment = {"aer", "alignment_mass", "alignment_entropy", "attended", "largest_weight", "pointing"}
    (found,) = measure(Told(weights=MIXED), attends=False)
    assert {name for name, value in found.items() if value is None} == alignment | {"bleu", "phoneme_error_rate"}
    (found,) = measure(Told(weights=MIXED), Examples(SOURCE, TARGET, None), bleu=True)
    without_links = {"aer", "alignment_mass", "pointing", "phoneme_error_rate"}
    assert {name for name, value in found.items() if value is None} == without_links
    (found,) = measure(Told(weights=MIXED))
    assert {name for name, value in found.items() if value is None} == {"bleu", "phoneme_error_rate"}


class Spoken(Words):
    """The second source has three right targets, of which the last is longer than that of every other source."""

    def references(self, source):
        assert source.shape == (2, 3)
        return np.array([[[3, 4, 5, 0]] + [[0] * 4] * 2, [[6, 7, 0, 0], [8, 0, 0, 0], [7, 7, 7, 7]]])


@pytest.mark.parametrize(
    ("words", "exact", "errors", "phonemes"),
    [
        (GOLD, 1, 0, 5),
        ([[3, 4, 5, 2, 0], [8, 2, 0, 0, 0]], 1, 0, 4),
        ([[3, 4, 5, 2, 0], [7, 7, 7, 7, 2]], 1, 0, 7),
        ([[3, 4, 5, 2, 0], [7, 7, 7, 7, 7]], 1 / 2, 11, 7),  # does not end: eleven of the 15 steps are too many
        ([[3, 4, 5, 2, 0], [2, 0, 0, 0, 0]], 1 / 2, 1, 4),  # no target is empty
        ([[3, 3, 4, 5, 2], [7, 7, 7, 2, 0]], 0, 2, 7),
        ([[6, 6, 6, 2, 0], [8, 7, 2, 0, 0]], 0, 4, 5),  # of two that are equally near, the first counts
    ],
)
def test_any_right_target_is_an_exact_match_and_errors_are_counted_to_the_nearest(words, exact, errors, phonemes):
    (found,) = evaluate(Told([words]), [EXAMPLES], Spoken(), True, CPU)
    assert found["exact_match"] == exact
    assert found["phoneme_error_rate"] == pytest.approx(errors / phonemes)


def test_accuracy_and_loss_are_those_of_the_first_target():
    told = Told([[[3, 4, 5, 2], [8, 2, 0, 0]]], [[[-1.0] * 4] * 2])
    (found,) = evaluate(told, [EXAMPLES], Spoken(), True, CPU)
    assert found["token_accuracy"] == pytest.approx(4 / 7)
    assert found["loss"] == 1


def test_each_replica_has_its_own_row():
    rows = np.concatenate([MIXED, PERFECT])
    nats = [[[-1.0] * 4] * 2, [[-2.0] * 4] * 2]
    one, two = measure(Told([GOLD, [[4, 4, 4, 2], [6, 7, 2, 0]]], nats, rows), bleu=True)
    assert (one["exact_match"], two["exact_match"]) == (1, 0.5)
    assert (one["loss"], two["loss"]) == (1, 2)
    assert (one["aer"], two["aer"]) == (pytest.approx(5 / 9), pytest.approx(1 / 9))
    longer = Examples(np.array([[3, 4, 5]]), np.array([[3, 4, 5, 6]]), None)
    told = Told([[[3, 4, 5, 6, 2]], [[3, 4, 5, 8, 2]]], [[[0.0] * 5]] * 2, np.zeros((2, 1, 5, 4)))
    one, two = measure(told, longer, bleu=True)
    assert one["bleu"] > two["bleu"]


def test_attended_is_the_mean_share_of_positions_with_a_weight():
    """Of the words of the source and its EOS, for every word of the target and its EOS; a millionth is no weight."""
    rows = weights([1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [1e-6, 2e-6, 0.5, 0.4], [0, 0, 0, 0], [0.3, 0.3, 0.3, 0.3])
    # The rows of EOS have one position, of four.
    shares = [1 / 4, 2 / 4, 3 / 4, 1 / 4, 0, 4 / 4, 1 / 4]
    assert measure(Told(weights=rows))[0]["attended"] == pytest.approx(sum(shares) / 7)
    assert measure(Told(weights=rows), attends=False)[0]["attended"] is None


def test_largest_weight_is_the_largest_of_all_rows_of_words_and_eos():
    rows = np.full((1, 2, 4, 4), 0.1)
    rows[0, 1, 1, 3] = 0.4
    assert measure(Told(weights=rows))[0]["largest_weight"] == pytest.approx(0.4)
    # Sigmoid and similar normalisers: a weight as the decoder uses it, whatever its row sums to.
    assert measure(Told(weights=3 * rows))[0]["largest_weight"] == pytest.approx(1.2)
    rows[0, 0, 3, 0] = 0.6  # the row of the target's EOS
    assert measure(Told(weights=rows))[0]["largest_weight"] == pytest.approx(0.6)
    rows[0, 1, 3, 0] = 0.9  # the row after the EOS of the second target, which is padding
    assert measure(Told(weights=rows))[0]["largest_weight"] == pytest.approx(0.6)


def test_rows_that_do_not_sum_to_one_are_measured_as_shares():
    """Of normalisers with other sums: alignment_mass and alignment_entropy are those of the rows scaled to sum to 1."""
    scale = np.array([0.5, 2.0, 7.0, 0.01])[:, None]
    (found,), (expected,) = measure(Told(weights=MIXED * scale)), measure(Told(weights=MIXED))
    for name in ("alignment_mass", "alignment_entropy", "aer", "attended"):
        assert found[name] == pytest.approx(expected[name])
    nothing = measure(Told(weights=MIXED * 0))[0]
    assert (nothing["alignment_mass"], nothing["alignment_entropy"], nothing["attended"]) == (0, 0, 0)


def test_groups_of_different_lengths_are_joined_by_their_words():
    """One sentence of 4 words and one of 2: the mean is over words and sentences, not over groups."""

    class Padded(Told):
        def __init__(self) -> None:
            self.replicas = 1

        def evaluated(self, batch, steps):
            assert batch.lengths.tolist() == [4, 2]
            assert batch.source.tolist() == [[3, 4, 5, 2], [6, 2, 0, 0]]
            assert batch.target.tolist() == [[3, 4, 5, 2], [6, 2, 0, 0]]
            words = batch.target.clone()
            words[1] = 8
            nats = torch.tensor([[-1.0] * 4, [-4.0] * 4])
            weights = torch.full((1, 2, 4, 4), 0.25)
            weights[0, 1] = torch.tensor([0.5, 0.5, 0, 0])
            return words[None, :, :steps], nats[None], weights

    groups = [Examples(SOURCE[:1], TARGET[:1], LINKS[:1]), Examples(SOURCE[1:, :1], TARGET[1:, :1], LINKS[1:, :1, :1])]
    (found,) = evaluate(Padded(), groups, Words(), True, CPU)
    assert found["exact_match"] == 0.5
    assert found["token_accuracy"] == pytest.approx(4 / 6)
    assert found["loss"] == pytest.approx((4 * 1 + 2 * 4) / 6)
    assert found["alignment_mass"] == pytest.approx((3 * 0.25 + 0.5) / 4)
    assert found["alignment_entropy"] == pytest.approx(1)  # each row is uniform over its own sentence


@pytest.mark.parametrize("kind", [name for name in registry.model.names() if name != "captioner"])
@pytest.mark.parametrize("task", ["sort", "translate"])
def test_what_is_measured_of_padded_sentences_is_what_is_measured_of_each_by_itself(monkeypatch, kind, task):
    if (kind, task) == ("pointer", "translate"):
        return
    scope = "self" if kind in ("transformer", "lstmn") else "global"
    this = pack((0, 4), "additive", scope, task, kind=kind)
    cell, built = this.cell, stack(this)
    task = build_task(cell.task, cell.data)
    groups = validation_set(task, cell.task, cell.data)
    assert len(groups) > 1
    together = evaluate(built, groups, task, True, CPU)
    monkeypatch.setattr(metrics, "CHUNK", 1)
    apart = evaluate(built, groups, task, True, CPU)
    for one, two in zip(together, apart, strict=True):
        assert one == pytest.approx({**two, "bleu": one["bleu"]}, abs=1e-9)


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 100])
def test_chunks_have_every_sentence_once_and_no_more_than_their_size(monkeypatch, chunk):
    monkeypatch.setattr(metrics, "CHUNK", chunk)
    sizes = [5, 1, 4, 2]
    groups = [Examples(np.full((n, i + 1), 3 + i), np.full((n, i + 1), 3), None) for i, n in enumerate(sizes)]
    chunks = list(metrics.in_chunks(groups, chunk))
    counts = [sum(map(len, parts)) for parts in chunks]
    assert counts == [chunk] * (12 // chunk) + [12 % chunk] * (12 % chunk > 0)
    found = [int(row[0]) - 3 for parts in chunks for part in parts for row in part.source]
    assert found == [i for i, n in enumerate(sizes) for _ in range(n)]
