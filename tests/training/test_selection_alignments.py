"""What is kept of a training: the best weights per replica, and the alignments that are shown."""

import numpy as np
import pytest
import torch
from small_packs import CPU, DATA, build, pack, stack

from attnbench.cell import Data
from attnbench.metrics import METRICS
from attnbench.store.alignments import read_alignments, write_alignments
from attnbench.tasks.base import Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import test_set, validation_set
from attnbench.training.alignments import Formation, read, test_alignments
from attnbench.training.batches import to_batch
from attnbench.training.selection import Selection
from attnbench.training.train import train

test_set.__test__ = test_alignments.__test__ = False  # their names begin like a test's

NAN = float("nan")


def offered(*validations):
    """Which validation (0, 1, …) each of the replicas keeps; a validation has (exact match, loss) per replica."""
    replicas = len(validations[0])
    weights = {"a": torch.full((replicas, 2), -1.0), "b": torch.full((replicas,), -1.0)}
    kept = Selection(weights, replicas)
    for number, validation in enumerate(validations):
        for each in weights.values():
            each.fill_(number)  # in place, as the optimizer does
        kept.offer(weights, [{"exact_match": exact, "loss": loss} for exact, loss in validation], range(replicas))
    assert torch.equal(kept.best["a"], kept.best["b"][:, None].expand(-1, 2))
    return kept.best["b"].tolist()


def test_each_replica_keeps_its_own_best():
    assert offered([(0.5, 1), (0.9, 1)], [(0.8, 1), (0.1, 1)], [(0.7, 1), (0.2, 1)]) == [1, 0]


def test_exact_match_comes_before_loss_and_loss_decides_a_tie():
    assert offered([(0.5, 2.0)], [(0.6, 9.0)], [(0.5, 0.1)]) == [1]
    assert offered([(0.0, 2.0)], [(0.0, 1.0)], [(0.0, 1.5)]) == [1]


def test_of_equals_the_first_is_kept():
    assert offered([(0.5, 1.0)], [(0.5, 1.0)]) == [0]


def test_weights_that_are_never_right_are_still_kept():
    assert offered([(0.0, 700.0)]) == [0]


def test_a_loss_that_is_no_number_is_never_better_than_one_that_is():
    assert offered([(0.0, 2.0)], [(0.0, NAN)]) == [0]
    assert offered([(0.0, NAN)], [(0.0, 2.0)]) == [1]


TRANSFORMER = {"score": "scaled_dot", "scope": "self", "kind": "transformer"}
LSTMN = {"score": "additive", "scope": "self", "kind": "lstmn"}
ALIGNMENT = ("aer", "alignment_mass", "alignment_entropy", "attended", "largest_weight", "pointing")


def prepared(score="additive", scope="global", **more):
    this = pack((0, 4), score, scope, **more)
    task = build_task(this.cell.task, this.cell.data)
    return this.cell, task, stack(this)


def test_an_alignment_has_a_row_per_target_word_and_a_column_per_source_word_with_eos():
    _, task, stacked = prepared()
    example = Examples(np.array([[3, 5, 4]]), np.array([[3, 5, 4]]), np.eye(3, dtype=bool)[None])
    found = read(stacked, example, task, CPU)
    assert (found.source, found.target) == ([["1", "3", "2", "</s>"]], [["1", "3", "2", "</s>"]])
    np.testing.assert_allclose(found.weights, stacked.forced(to_batch(example, CPU))[1])
    assert found.weights.shape == (2, 1, 4, 4)
    assert found.links[0].tolist() == np.pad(np.eye(3, dtype=bool), (0, 1)).tolist()


def test_target_words_that_are_padding_have_no_row():
    _, task, stacked = prepared()
    example = Examples(np.array([[3, 5, 4]]), np.array([[3, 5, 0]]), None)
    found = read(stacked, example, task, CPU)
    assert found.target == [["1", "3", "</s>"]]
    assert found.weights.shape == (2, 1, 3, 4)
    assert found.links.size == 0


def test_test_alignments_show_every_length_the_longest_first():
    cell, task, stacked = prepared()
    groups = test_set(task, cell.task, cell.data)
    found = test_alignments(stacked, groups, task, CPU)
    assert [len(words) for words in found.source] == [6, 5, 4, 6, 5, 4, 6, 5]  # 5, 4 and 3 with EOS
    for n, (source, target) in enumerate(zip(found.source, found.target, strict=True)):
        group = groups[len(source) - 4]
        row = n // 3
        assert source[:-1] == [task.source_words[i] for i in group.source[row]]
        alone = stacked.forced(to_batch(group[row : row + 1], CPU))[1].numpy()
        np.testing.assert_allclose(found.weights[:, n, : len(target), : len(source)], alone[:, 0], atol=1e-12)
        assert (found.weights[:, n, :, len(source) :] == 0).all()
        assert (found.weights[:, n, len(target) :] == 0).all()
        assert (found.links[n, : len(target) - 1, : len(source) - 1] == group.links[row]).all()
        assert found.links[n].sum() == len(source) - 1


def test_without_gold_there_are_no_links():
    cell, task, stacked = prepared()
    groups = [Examples(g.source, g.target, None) for g in test_set(task, cell.task, cell.data)]
    found = test_alignments(stacked, groups, task, CPU)
    assert found.links.shape == (0, 0, 0)
    formation = Formation()
    formation.note(1, read(stacked, groups[-1][:1], task, CPU), 0)
    assert formation.join(found, 0).forming_links.shape == (0, 0, 0)


@pytest.mark.parametrize(
    ("count", "kept"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (7, [1, 2, 4, 7]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])],
)
def test_formation_keeps_the_untrained_validations_1_2_4_8_and_the_last(count, kept):
    cell, task, stacked = prepared()
    validation = validation_set(task, cell.task, cell.data)
    formation = Formation()
    weights = []
    for step in range(count + 1):  # step 0 is the untrained model
        with torch.no_grad():
            stacked.parameters["model.word_proj.weight"].mul_(1.3)  # the weights move from step to step
        formation.note(step * 10, read(stacked, validation[-1][:1], task, CPU), 1)
        weights.append(stacked.forced(to_batch(validation[-1][:1], CPU))[1].numpy())
    found = formation.join(test_alignments(stacked, validation, task, CPU), 1)
    assert found.steps.tolist() == [0, *(10 * n for n in kept)]
    np.testing.assert_allclose(found.forming, np.stack([weights[n][1, 0] for n in (0, *kept)]))
    assert len({row.tobytes() for row in found.forming}) == len(kept) + 1
    assert found.forming_source == [task.source_words[i] for i in validation[-1].source[0]] + ["</s>"]
    assert found.forming.shape[1:] == (DATA.max_length + 1, DATA.max_length + 1)
    assert found.forming_links.sum() == DATA.max_length
    assert found.weights.shape[0] == len(found.source) == 8


def test_each_head_is_that_of_every_replica_by_itself():
    described = pack((0, 4), **TRANSFORMER, model={"heads": 4})
    stacked = stack(described)
    example = Examples(np.array([[3, 5, 4], [4, 6, 7]]), np.array([[3, 5, 4], [4, 6, 7]]), None)
    batch, modes = to_batch(example, CPU), []
    stacked.template.train()
    stacked.template.model.register_forward_hook(lambda model, *_: modes.append(model.training))
    found = stacked.each_head(batch)
    assert (found.shape, modes) == ((2, 2, 4, 4, 4), [False])
    for k, seed in enumerate(described.seeds):
        alone = build(described, seed)(batch.source, None, batch.previous).heads
        torch.testing.assert_close(found[k], alone.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.mean(2), stacked.forced(batch)[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("more", [{}, TRANSFORMER | {"model": {"heads": 1}}], ids=["rnn", "one head"])
def test_a_single_head_is_not_kept_twice(more):
    cell, task, stacked = prepared(**more)
    groups = test_set(task, cell.task, cell.data)
    found = test_alignments(stacked, groups, task, CPU)
    assert found.heads.shape == (2, 8, 0, 6, 6)
    formation = Formation()
    formation.note(0, read(stacked, groups[-1][:1], task, CPU), 1)
    assert formation.join(found, 1).heads.shape == (8, 0, 6, 6)
    assert formation.join(found, 1).forming_heads.shape == (1, 0, 6, 6)


def test_heads_have_the_rows_and_columns_of_their_mean():
    _, task, stacked = prepared(**TRANSFORMER)
    found = read(stacked, Examples(np.array([[3, 5, 4]]), np.array([[3, 5, 0]]), None), task, CPU)
    assert (found.weights.shape, found.heads.shape) == ((2, 1, 3, 4), (2, 1, 2, 3, 4))
    np.testing.assert_allclose(found.heads.mean(2), found.weights, atol=1e-12)
    groups = [Examples(np.array([[3, 5, 4, 6]]), np.array([[3, 5, 0, 0]]), None)]
    assert test_alignments(stacked, groups, task, CPU).heads.shape == (2, 1, 2, 3, 5)


def test_training_keeps_each_head_of_what_it_shows(tmp_path):
    """Of its own replica, at every step noted, cut to the sentence; and the archive gives back the same."""
    outcomes = train(pack((0, 4), **TRANSFORMER, steps=6, valid_every=2, learning_rate=0.01))
    for outcome in outcomes:
        write_alignments(tmp_path / "kept.npz", outcome.alignments)
        found = read_alignments(tmp_path / "kept.npz")
        assert (found.heads.shape, found.forming_heads.shape) == ((8, 2, 6, 6), (4, 2, 6, 6))
        np.testing.assert_array_equal(found.heads, outcome.alignments.heads)
        np.testing.assert_array_equal(found.forming_heads, outcome.alignments.forming_heads)
        np.testing.assert_allclose(found.heads.mean(1), found.weights, atol=1e-6)
        np.testing.assert_allclose(found.forming_heads.mean(1), found.forming, atol=1e-6)
        assert not np.allclose(found.heads[:, 0], found.heads[:, 1], atol=1e-3)
        assert len({moment.tobytes() for moment in found.forming_heads}) == len(found.steps) == 4
        for n, (source, target) in enumerate(zip(found.source, found.target, strict=True)):
            np.testing.assert_allclose(found.heads[n, :, : len(target), : len(source)].sum(-1), 1, atol=1e-6)
            assert not found.heads[n, :, len(target) :].any()
            assert not found.heads[n, :, :, len(source) :].any()
    assert not np.allclose(outcomes[0].alignments.heads, outcomes[1].alignments.heads, atol=1e-3)


@pytest.mark.parametrize("fusion", ["none", "shallow", "deep"])
def test_a_decoder_that_does_not_read_the_source_has_no_alignment(fusion):
    data = Data(**DATA.model_dump() | {"test_lengths": (7,)})
    (outcome,) = train(pack(**LSTMN, data=data, model={"fusion": fusion}, steps=4, valid_every=2))
    assert outcome.status == "done"
    absent = {name for name in (*METRICS, "exact_match@7", "loss@7") if outcome.metrics[name] is None}
    logged = {f"valid/{name}" for name in ALIGNMENT} & outcome.history[-1].keys()
    if fusion == "none":
        assert outcome.alignments is None
        assert absent == {*ALIGNMENT, "bleu", "phoneme_error_rate", "steps_to_95", "exact_match_unseen"}
        assert [outcome.metrics[f"{name}@7"] for name in ALIGNMENT] == [None] * len(ALIGNMENT)
        assert not logged
    else:
        assert outcome.alignments.weights.shape == (8, 6, 6)
        assert absent == {"bleu", "phoneme_error_rate", "steps_to_95", "exact_match_unseen"}
        assert logged == {"valid/aer"}
