"""Training a pack: what comes out, what each setting changes, and what happens when a replica diverges."""

import dataclasses
import math
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from small_packs import DATA, pack, validations

from attnbench.cell import Pack
from attnbench.metrics import METRICS
from attnbench.outcome import Outcome, Progress
from attnbench.tasks.split import Split, split_of
from attnbench.tasks.symbols import unseen_symbols
from attnbench.training import tested as testing
from attnbench.training import train as module
from attnbench.training.build import torch_seed
from attnbench.training.stack import Stack
from attnbench.training.train import train

TIMES = {"seconds", "tokens_per_second"}
SEEDS = (0, 1, 5)


def without_times(outcome: Outcome) -> dict:
    """An outcome as plain lists, without what a clock says."""
    plain = dataclasses.asdict(outcome)
    plain["metrics"] = {name: value for name, value in outcome.metrics.items() if name not in TIMES}
    plain["history"] = [{n: value for n, value in row.items() if n not in TIMES} for row in outcome.history]
    for name, value in (plain["alignments"] or {}).items():
        plain["alignments"][name] = value.tolist() if isinstance(value, np.ndarray) else value
    return plain


def same(one: list[Outcome], two: list[Outcome]) -> bool:
    return [without_times(outcome) for outcome in one] == [without_times(outcome) for outcome in two]


@pytest.mark.parametrize(("scope", "options"), [("global", {}), ("hard", {"estimator": "reinforce"}), ("none", {})])
def test_the_same_pack_twice_gives_the_same_outcomes(scope, options):
    """Whatever was trained or drawn before: all that is random follows from the seeds."""
    this = pack(SEEDS, "additive", scope, scope_options=options)
    first = train(this)
    torch.manual_seed(99)
    torch.rand(5)
    np.random.seed(3)
    train(pack((8,)))
    assert same(first, train(this))


def test_replicas_with_different_seeds_differ():
    found = train(pack(SEEDS))
    assert [outcome.seed for outcome in found] == list(SEEDS)
    assert [outcome.cell for outcome in found] == ["cell-0", "cell-1", "cell-5"]
    assert len({outcome.metrics["loss"] for outcome in found}) == 3
    assert len({outcome.history[0]["train/loss"] for outcome in found}) == 3


def nearly(found: float | None, expected: float | None) -> bool:
    return found == expected if expected is None else found == pytest.approx(expected, rel=1e-8)


STACKED = [("additive", "global", {}, "copy"), ("general", "local-p", {"window": 2}, "translate")]
STACKED += [("dot", "none", {}, "copy"), ("additive", "hard", {"estimator": "exact"}, "copy")]


@pytest.mark.parametrize(("score", "scope", "options", "task"), STACKED, ids=str)
@pytest.mark.usefixtures("in_float64")
def test_training_a_pack_is_training_each_seed_alone(score, scope, options, task):
    described = {"score": score, "scope": scope, "scope_options": options, "task": task, "valid_every": 2}
    together = train(pack(SEEDS, **described))
    for k, seed in enumerate(SEEDS):
        (alone,) = train(pack((seed,), **described))
        for step, expected in zip(together[k].history, alone.history, strict=True):
            for name in expected.keys() - {"seconds"}:
                assert nearly(step[name], expected[name]), name
        for name in alone.metrics.keys() - TIMES:
            assert nearly(together[k].metrics[name], alone.metrics[name]), name


def test_the_metrics_are_all_there_and_finite():
    (found,) = train(pack(data=DATA.model_copy(update={"test_lengths": (4, 9)})))
    assert found.status == "done"
    assert found.error is None
    assert METRICS.keys() <= found.metrics.keys()
    assert {"exact_match@4", "exact_match@9"} <= found.metrics.keys()
    assert {name for name in METRICS if found.metrics[name] is None} == {
        "bleu",
        "phoneme_error_rate",
        "steps_to_95",
        "exact_match_unseen",
    }
    assert all(math.isfinite(value) for value in found.metrics.values() if value is not None)
    # Longer sentences than were trained on are harder; each length is measured by itself.
    assert found.metrics["loss@4"] != found.metrics["loss@9"]
    assert found.metrics["alignment_mass@9"] < found.metrics["alignment_mass@4"]


def test_validation_picks_and_test_reports(monkeypatch):
    """Seen at what is measured: the validation side at every validation, at the end the test side, length by length."""
    seen, plain = [], module.evaluate

    def evaluate(stack, groups, *others):
        sides = {int(side) for group in groups for side in split_of(group.source)}
        seen.append((sides, [group.source.shape[1] for group in groups]))
        return plain(stack, groups, *others)

    for place in (module, testing):
        monkeypatch.setattr(place, "evaluate", evaluate)
    train(pack(data=DATA.model_copy(update={"test_lengths": (4, 9)})))
    validated, tested = ({Split.VALIDATION}, [3, 4, 5]), ({Split.TEST}, [3, 4, 5])
    assert seen == [validated, validated, tested, ({Split.TEST}, [4]), ({Split.TEST}, [9])]


def test_a_pack_of_tuning_is_measured_on_validation_and_never_tested(monkeypatch):
    """No test set is made: the values are those of the selected weights on the validation set."""

    def unreadable(*_):
        raise AssertionError("the test data were read")

    for name in ("test_set", "test_set_at", "test_set_unseen"):
        monkeypatch.setattr(testing, name, unreadable)
    data = DATA.model_copy(update={"test_lengths": (4, 9), "unseen_symbols": 1})
    ordinary = pack((0, 3), data=data, steps=40, valid_every=10)
    tuning = ordinary.model_copy(update={"cell": ordinary.cell.model_copy(update={"tuning": True})})
    found = train(tuning)
    for outcome in found:
        best = max(validations(outcome), key=lambda row: (row["valid/exact_match"], -row["valid/loss"]))
        assert outcome.metrics["exact_match"] == best["valid/exact_match"]
        assert outcome.metrics["loss"] == pytest.approx(best["valid/loss"], rel=1e-6)
        assert outcome.alignments is None
        assert not [name for name in outcome.metrics if "@" in name]
    with pytest.raises(AssertionError, match="the test data were read"):
        train(ordinary)


def test_flops_are_those_of_one_training_step_on_the_longest_sources():
    """Whatever is trained beside it; a product has the batch as a factor, or is of the whole vocabulary."""
    found = {
        (seeds, batch): train(pack(seeds, scope="none", batch_size=batch))[0].metrics["flops"]
        for seeds, batch in (((0,), 8), ((0, 3, 5), 8), ((0,), 16), ((0,), 24))
    }
    assert found[(0,), 8] == found[(0, 3, 5), 8] > 0
    assert found[(0,), 24] - found[(0,), 16] == found[(0,), 16] - found[(0,), 8] > 0


def test_symbols_that_training_never_shows_are_tested_by_themselves(monkeypatch, watched):
    """At the end, after the other test sets; of that evaluation each replica keeps the exact match alone."""
    data, plain = DATA.model_copy(update={"unseen_symbols": 2}), module.evaluate
    hidden = unseen_symbols(6, 2)
    unseen = []

    def evaluate(stack, groups, *others):
        rows = plain(stack, groups, *others)
        has_unseen = [np.isin(group.source, hidden).any(axis=1) for group in groups]
        if np.concatenate(has_unseen).any():
            assert np.concatenate(has_unseen).all()
            assert [len(group) for group in groups] == [13, 13, 14]
            unseen.append([row | {"exact_match": 0.25 + k} for k, row in enumerate(rows)])
            return unseen[-1]
        return rows

    for place in (module, testing):
        monkeypatch.setattr(place, "evaluate", evaluate)
    found = train(pack((0, 3), data=data))
    assert len(unseen) == 1
    assert [outcome.metrics["exact_match_unseen"] for outcome in found] == [0.25, 1.25]
    assert all(outcome.metrics["exact_match"] <= 1 for outcome in found)
    assert found[0].metrics["loss"] != unseen[0][0]["loss"]
    assert not any(np.isin(batch.source.numpy(), hidden).any() for batch in watched.batches)


def test_metrics_without_meaning_are_none():
    (found,) = train(pack(scope="none"))
    of_alignments = {"aer", "alignment_mass", "alignment_entropy", "attended", "largest_weight", "pointing"}
    without = {*of_alignments, "bleu", "phoneme_error_rate", "steps_to_95", "exact_match_unseen"}
    assert {name for name in METRICS if found.metrics[name] is None} == without
    assert found.alignments is None
    assert "valid/aer" not in validations(found)[0]
    (found,) = train(pack(task="translate", data=DATA.model_copy(update={"max_length": 6})))
    assert found.metrics["bleu"] is not None
    assert "valid/bleu" in validations(found)[0]


def test_history_has_a_row_per_validation_and_the_last_step():
    (found,) = train(pack(steps=12, valid_every=5))
    assert [row["step"] for row in validations(found)] == [5, 10, 12]
    names = {"step", "train/loss", "valid/loss", "valid/exact_match", "valid/token_accuracy", "valid/aer", "seconds"}
    assert all(row.keys() == names for row in validations(found))
    assert [row["step"] for row in validations(train(pack(steps=12, valid_every=4))[0])] == [4, 8, 12]
    assert [row["step"] for row in validations(train(pack(steps=3, valid_every=100))[0])] == [3]


def test_a_short_training_logs_the_loss_of_every_step(watched):
    (found,) = train(pack(steps=5, valid_every=3))
    losses = [float(loss[0]) for loss in watched.losses]
    assert [row["step"] for row in found.history] == [1, 2, 3, 4, 5]
    assert [row["train/loss"] for row in found.history] == pytest.approx(losses)


@pytest.mark.parametrize(("steps", "valid_every"), [(130, 50), (130, 200), (101, 1), (230, 115)])
def test_a_long_training_logs_at_least_fifty_means_of_the_loss(watched, steps, valid_every):
    """Each mean is over the steps since the one before, so that together they are the mean of all steps."""
    (found,) = train(pack(steps=steps, valid_every=valid_every))
    losses = [float(loss[0]) for loss in watched.losses]
    before = 0
    for row in found.history:
        step = int(row["step"])
        assert row["train/loss"] == pytest.approx(sum(losses[before:step]) / (step - before), rel=1e-5)
        before = step
    assert before == steps
    assert 50 <= len(found.history) <= max(150, steps // valid_every)


def test_alignments_are_of_the_test_set_and_of_one_sentence_as_it_forms():
    one, two = (outcome.alignments for outcome in train(pack((0, 1), score="additive", learning_rate=0.02)))
    assert one.steps.tolist() == [0, 5, 10]
    assert one.forming.shape == (3, 6, 6)  # the longest: 5 words and EOS
    for earlier, later in pairwise(one.forming):
        assert not np.allclose(earlier, later, atol=1e-4)
    np.testing.assert_allclose(one.forming.sum(-1), 1, atol=1e-5)
    assert one.forming_links[:5, :5].tolist() == np.eye(5, dtype=bool).tolist()
    assert one.weights.shape == one.links.shape
    assert not np.allclose(one.weights, two.weights, atol=1e-4)
    for n, (source, target) in enumerate(zip(one.source, one.target, strict=True)):
        assert source == target
        np.testing.assert_allclose(one.weights[n, : len(target), : len(source)].sum(-1), 1, atol=1e-5)
        assert one.weights[n].sum() == pytest.approx(len(target), abs=1e-4)


def test_copy_is_learned_and_the_first_step_at_95_percent_is_noted():
    settings = {"steps": 400, "batch_size": 32, "learning_rate": 0.006, "valid_every": 50}
    data = DATA.model_copy(update={"validation_examples": 100, "test_examples": 200})
    this = pack((0, 1), "additive", data=data, model={"width": 48, "embedding": 24, "query": "current"}, **settings)
    told: list[Progress] = []
    for outcome in train(this, report=told.append):
        assert outcome.metrics["exact_match"] > 0.95
        reached = [row["step"] for row in validations(outcome) if row["valid/exact_match"] >= 0.95]
        assert outcome.metrics["steps_to_95"] == reached[0]
        assert outcome.metrics["tokens_per_second"] > 0
        assert outcome.metrics["seconds"] > 0
    assert (told[-1].pack, told[-1].step, told[-1].steps) == ("cell-0", 400, 400)
    assert told[-1].exact_match > 0.9
    assert told[-1].loss < told[0].loss


class Clock:
    """In place of the module time: it stands still but for the seconds that are added."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now

    def __getattr__(self, name: str):
        return getattr(time, name)


def test_seconds_are_a_replicas_share_and_tokens_per_second_are_those_of_the_pack(monkeypatch):
    """Three replicas in one stack: a training step takes 7 seconds, an evaluation 2 for each batch that it decodes."""
    clock, loss, evaluated, batches = Clock(), Stack.loss, Stack.evaluated, []

    def slow_loss(*arguments):
        clock.now += 7
        return loss(*arguments)

    def slow_evaluation(*arguments):
        clock.now += 2
        batches.append(arguments)
        return evaluated(*arguments)

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(Stack, "loss", slow_loss)
    monkeypatch.setattr(Stack, "evaluated", slow_evaluation)
    data = DATA.model_copy(update={"min_length": 4, "max_length": 4})
    found = train(pack(SEEDS, data=data, steps=6, batch_size=4, valid_every=3))
    assert len(batches) == 3  # two validations and the test, of fewer than 128 sentences each
    for outcome in found:
        assert outcome.metrics["seconds"] == pytest.approx((6 * 7 + 3 * 2) / 3)
        # 4 words and EOS of 4 sentences for each of 3 replicas in a step of 7 seconds.
        assert outcome.metrics["tokens_per_second"] == pytest.approx(3 * 4 * 5 / 7)
        assert [row["seconds"] for row in validations(outcome)] == [3 * 7 + 2, 6 * 7 + 2 * 2]


def test_a_user_s_own_pairs_are_trained_on(tmp_path):
    """Without gold links: no AER, but BLEU; lines of lengths outside the range are no obstacle."""
    words = ["a", "b", "c", "d", "e", "f"]
    random = np.random.default_rng(0)
    lines = [random.choice(words, size=length).tolist() for length in random.integers(1, 12, size=400)]
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{' '.join(line)}\t{' '.join(w.upper() for w in line)}\n" for line in lines))
    data = DATA.model_copy(update={"path": str(path), "vocabulary": None, "min_length": 1, "max_length": 9})
    (found,) = train(pack(task="translate", data=data, steps=10))
    assert found.status == "done"
    assert (found.metrics["aer"], found.metrics["alignment_mass"]) == (None, None)
    assert found.metrics["bleu"] >= 0
    assert found.metrics["alignment_entropy"] > 0
    assert found.alignments.links.size == found.alignments.forming_links.size == 0
    assert {word for sentence in found.alignments.target for word in sentence} <= {*"ABCDEF", "</s>"}
    assert {word for sentence in found.alignments.source for word in sentence} <= {*"abcdef", "</s>"}
    # `location` has a row for each position that a training line has, and EOS, however large the range.
    wide = data.model_copy(update={"max_length": 30})
    located, plain = (
        train(pack(score=score, task="translate", data=wide, steps=1))[0] for score in ("location", "dot")
    )
    assert located.metrics["parameters"] - plain.metrics["parameters"] == (max(map(len, lines)) + 1) * 8


def test_words_that_no_training_line_has_are_never_right(tmp_path):
    """A model that has learned to output <unk> reaches no exact match, does not stop early, and gets no BLEU for it."""
    random = np.random.default_rng(0)
    sources = [" ".join(random.choice(list("abcdef"), size=3)) for _ in range(100)]
    files = {}
    for field, target, lines in (
        ("path", "<unk>", sources[:60]),
        ("validation_path", "Y", sources[60:80]),
        ("test_path", "Z", sources[80:]),
    ):
        files[field] = tmp_path / f"{field}.tsv"
        files[field].write_text("".join(f"{line}\t{target} {target}\n" for line in lines))
    data = DATA.model_copy(update={"vocabulary": None, "max_length": 3, **{k: str(v) for k, v in files.items()}})
    (found,) = train(
        pack(task="translate", data=data, steps=60, learning_rate=0.05, valid_every=20, stop_at={"exact_match": 0.5})
    )
    assert [row["step"] for row in validations(found)] == [20, 40, 60]
    assert found.history[-1]["train/loss"] < 0.05
    assert [row["valid/exact_match"] for row in validations(found)] == [0, 0, 0]
    assert found.metrics["exact_match"] == 0
    assert found.metrics["token_accuracy"] == pytest.approx(1 / 3)  # EOS
    assert found.metrics["bleu"] == 0
    assert found.alignments.target[0] == ["Z", "Z", "</s>"]


def paired(one: Pack, two: Pack, watched) -> list[tuple]:
    """The batches that two packs are trained on."""
    runs = []
    for each in (one, two):
        watched.batches.clear()
        train(each)
        runs.append(list(watched.batches))
    return list(zip(*runs, strict=True))


def test_runs_that_share_a_seed_are_trained_on_the_same_sentences(watched):
    """Whatever the score, the scope and the mates; those of another seed differ."""
    for one, two in paired(pack((1,), "dot"), pack((0, 1), "additive", "local-p"), watched):
        assert torch.equal(one.source[0], two.source[1])
        assert torch.equal(one.target[0], two.target[1])
        assert not torch.equal(two.source[0], two.source[1])


def test_random_streams_of_different_uses_and_seeds_differ():
    keys = [("model", 0), ("model", 1), ("model", 2**32), ("attention", 0, 1), ("attention", 1, 1), ("draws", 0)]
    keys += [("draws", 0, 0), ("draws", 0, 1), ("draws", 10**30), ("attention", 0, 2)]
    assert len({torch_seed(*key) for key in keys}) == len(keys)
    for key in keys:
        torch.manual_seed(torch_seed(*key))  # torch takes it
