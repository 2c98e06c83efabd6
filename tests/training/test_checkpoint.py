"""A pack that is interrupted continues from its last checkpoint, and gives the numbers of an undisturbed training."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_packs import DATA, pack, validations
from test_train import Clock, same

import attnbench
from attnbench import registry
from attnbench.cell import Checkpoint, Pack
from attnbench.outcome import Outcome, Progress
from attnbench.training import checkpoint as module
from attnbench.training import train as train_module
from attnbench.training.checkpoint import Checkpoints
from attnbench.training.train import Training, train

SEEDS = (0, 1, 5)
HOMES = {"transformer": "self", "lstmn": "self"}
STEPS = {"steps": 12, "valid_every": 3}
ESTIMATORS = ("reinforce", "straight_through", "gumbel", "exact")


@pytest.fixture(autouse=True)
def _at_every_validation(monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(module, "SHARE", float("inf"))


@pytest.fixture
def checked(tmp_path) -> Callable[[Pack], Pack]:
    """`checked(pack)`: the pack with a checkpoint."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "lock").write_text("this run")

    def place(described: Pack, key: str = "key") -> Pack:
        file = tmp_path / "checkpoints" / "cell.npz"
        saved = Checkpoint(file=file, key=key, lock=tmp_path / "lock", holder="this run")
        return described.model_copy(update={"checkpoint": saved})

    return place


def interrupted(described: Pack, step: int, messages: list[Progress] | None = None) -> None:
    """Trains until the validation at `step` begins; what was trained since the validation before is lost."""

    def report(progress: Progress) -> None:
        assert progress.note is None
        if messages is not None:
            messages.append(progress)
        if progress.evaluating and progress.step >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(described, report=report)


def in_pieces(described: Pack, *steps: int) -> list[Outcome]:
    """The outcomes of a training that is interrupted at each of the steps."""
    for step in steps:
        interrupted(described, step)
    messages: list[Progress] = []
    outcomes = train(described, report=messages.append)
    assert messages[0].resumed > 0
    assert not [message for message in messages if message.note]
    return outcomes


@pytest.fixture
def arrivals(monkeypatch) -> Callable[[dict[int, tuple[float, ...]]], None]:
    """`arrivals(table)`: the exact match at validation, by step, for each of the three replicas."""
    trainings: list[Training] = []
    init, plain = Training.__init__, train_module.evaluate

    def noting(self, *arguments):
        trainings.append(self)
        init(self, *arguments)

    def install(table: dict[int, tuple[float, ...]]) -> None:
        def evaluate(*arguments):
            metrics, training = plain(*arguments), trainings[-1]
            if not training.ended:
                for row, k in zip(metrics, training.active, strict=True):
                    row["exact_match"] = table[training.steps][k]
            return metrics

        monkeypatch.setattr(Training, "__init__", noting)
        monkeypatch.setattr(train_module, "evaluate", evaluate)

    return install


@pytest.mark.parametrize("kind", registry.model.names())
def test_every_model_continues_with_the_same_numbers(kind, checked):
    task = "caption" if registry.model.entry(kind).declares("reads_images") else "copy"
    described = pack(SEEDS, "additive", HOMES.get(kind, "global"), task, kind=kind, **STEPS)
    assert same(in_pieces(checked(described), 6, 9, 12), train(described))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_hard_attention_with_replicas_that_stop_continues_with_the_same_numbers(estimator, checked, arrivals):
    """The second replica stops at step 3 and is best there, the first at 9; the third goes on to the end."""
    arrivals({3: (0.1, 0.9, 0.0), 6: (0.3, 0.0, 0.2), 9: (0.8, 0.0, 0.1), 12: (0.0, 0.0, 0.15)})
    described = pack(
        SEEDS, "additive", "hard", scope_options={"estimator": estimator}, stop_at={"exact_match": 0.7}, **STEPS
    )
    expected = train(described)
    assert [outcome.history[-1]["step"] for outcome in expected] == [9, 3, 12]
    assert same(in_pieces(checked(described), 6, 9, 12), expected)


def test_a_training_whose_replicas_have_all_stopped_is_only_tested(checked, arrivals, watched):
    arrivals({3: (0.1, 0.9, 0.0), 6: (0.9, 0.0, 0.9)})
    described = pack(SEEDS, stop_at={"exact_match": 0.7}, **STEPS)
    expected = train(described)
    tests = []

    def report(progress: Progress) -> None:
        tests.append(progress.evaluating and len(tests) > 0 and progress.exact_match)
        if progress.evaluating and progress.step == 6 and progress.exact_match == pytest.approx(0.9):
            raise KeyboardInterrupt  # between the last validation and the tests

    with pytest.raises(KeyboardInterrupt):
        train(checked(described), report=report)
    watched.clear()
    assert same(train(checked(described)), expected)
    assert not watched.losses


def test_a_diverged_replica_is_remembered(checked, monkeypatch):
    """Its error, and its weights that are not numbers, stay as they are."""
    plain = Training._step

    def step(self):
        if self.steps == 4:
            with torch.no_grad():
                next(iter(self.stack.parameters.values()))[1] = torch.nan
        return plain(self)

    monkeypatch.setattr(Training, "_step", step)
    described = pack(SEEDS, **STEPS)
    expected = train(described)
    assert [outcome.status for outcome in expected] == ["done", "failed", "done"]
    assert same(in_pieces(checked(described), 9, 12), expected)


@pytest.mark.parametrize("task", ["translate", "sort", "g2p", "caption"])
def test_the_examples_go_on_where_they_were(task, checked, monkeypatch):
    """Also where those that are generated ahead are used up in between, and where targets differ in length."""
    monkeypatch.setattr("attnbench.tasks.streams.BATCHES_AHEAD", 3)
    seen, plain = [], Training._step

    def step(self):
        batch = self.stream.batch
        self.stream.batch = lambda: seen.append((self.steps, batch())) or seen[-1][1]
        try:
            return plain(self)
        finally:
            del self.stream.batch

    monkeypatch.setattr(Training, "_step", step)
    kind = "captioner" if task == "caption" else "rnn"
    data = DATA.model_copy(update={"max_length": 6})
    described = pack(SEEDS, task=task, data=data, kind=kind, steps=40, valid_every=4)
    train(described)
    expected = dict(seen)
    seen.clear()
    in_pieces(checked(described), 8, 24, 40)
    assert [number for number, _ in seen] == [*range(1, 9), *range(5, 25), *range(21, 41), *range(37, 41)]
    for number, batch in seen:
        for name in ("source", "target", "links", "possible"):  # None where the task has none
            np.testing.assert_array_equal(getattr(batch, name), getattr(expected[number], name))


def test_what_a_custom_part_counts_goes_on(checked):
    @attnbench.score("counts")
    class Counts(torch.nn.Module):
        """Its logits depend on how often it was called in training."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, query, keys):
            self.calls += self.training
            return query @ keys.mT * (1 + self.calls / 100)

    described = pack(SEEDS, "counts", **STEPS)
    assert same(in_pieces(checked(described), 6, 12), train(described))


def test_times_and_words_go_on(checked, monkeypatch):
    """As if there had been no break: the time from the checkpoint to the end of the new start is left out."""
    clock, plain = Clock(), Training._step

    def building(*_: object) -> None:
        clock.now += 100

    def step(self):
        clock.now += 7
        return plain(self)

    monkeypatch.setattr(train_module, "time", clock)
    monkeypatch.setattr(train_module, "try_model", building)
    monkeypatch.setattr(Training, "_step", step)
    expected = train(pack(SEEDS, **STEPS))
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 9)
    clock.now += 5000
    for found, other in zip(train(described), expected, strict=True):
        for name in ("seconds", "tokens_per_second"):
            assert found.metrics[name] == pytest.approx(other.metrics[name])
        for outcome in (found, other):
            assert [row["seconds"] for row in validations(outcome)] == [121, 142, 163, 184]


def test_progress_counts_the_steps_before(checked):
    messages: list[Progress] = []
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 9, messages)
    assert {message.resumed for message in messages} == {0}
    messages.clear()
    train(described, report=messages.append)
    assert (messages[0].step, messages[0].resumed, messages[0].evaluating) == (6, 6, False)
    assert messages[0].loss is not None
    assert {message.resumed for message in messages} == {6}


def test_each_validation_and_the_tests_are_told(checked):
    messages: list[Progress] = []
    train(checked(pack(SEEDS, **STEPS)), report=messages.append)
    assert [m.step for m in messages if m.evaluating] == [3, 6, 9, 12, 12]
    assert messages[-1].evaluating
    assert not [m.note for m in messages if m.note]


# --- when it is written


def test_short_packs_write_none(checked, monkeypatch):
    monkeypatch.undo()
    described = checked(pack(SEEDS, **STEPS))
    train(described)
    assert not described.checkpoint.file.exists()


def test_it_is_written_seldom_enough(checked, monkeypatch):
    """Not before 30 s, and each costs at most a hundredth of the time before the next; the first is estimated."""
    monkeypatch.undo()
    clock, written = Clock(), []

    def write(*_) -> None:
        written.append(clock.now)
        clock.now += 2

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_write", write)
    described = checked(pack(SEEDS))
    assert moments(Checkpoints(described.checkpoint, torch.device("cpu"), 1000), clock, written) == [30, 30 + 202]
    # 50 MB are taken to need one second.
    large = Checkpoints(described.checkpoint, torch.device("cpu"), 50_000_000)
    assert moments(large, clock, written) == [100, 100 + 202]


def moments(checkpoints: Checkpoints, clock: Clock, written: list[float]) -> list[float]:
    """The first two moments, in seconds from the start, at which it writes, where every second has a validation."""
    written.clear()
    start = clock.now
    while len(written) < 2:
        clock.now += 1
        checkpoints.write(lambda: None)
    return [moment - start for moment in written]


def test_without_a_place_nothing_is_written(tmp_path):
    assert same(train(pack(SEEDS, **STEPS)), train(pack(SEEDS, **STEPS)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["another run", None])
def test_another_folder_at_the_same_path_is_left_alone(content, checked):
    """As on a node of a cluster that does not share the file system."""
    described = checked(pack(SEEDS, **STEPS))
    described.checkpoint.lock.unlink()
    if content:
        described.checkpoint.lock.write_text(content)
    train(described)
    assert not list(described.checkpoint.file.parent.iterdir())


def test_a_folder_that_cannot_be_written_is_said_once_and_training_goes_on(checked):
    described = checked(pack(SEEDS, **STEPS))
    described.checkpoint.file.parent.rmdir()
    messages: list[Progress] = []
    assert same(train(described, report=messages.append), train(pack(SEEDS, **STEPS)))
    assert [message.note for message in messages if message.note] == [
        "its checkpoint cannot be written (No such file or directory): if interrupted, it starts again"
    ]


def test_an_interruption_while_it_is_written_leaves_the_one_before(checked, monkeypatch):
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 6)
    before = described.checkpoint.file.read_bytes()

    def fsync(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        train(described)
    assert [file.name for file in described.checkpoint.file.parent.iterdir()] == ["cell.npz"]
    assert described.checkpoint.file.read_bytes() == before


# --- which are not used


def restarted(described: Pack) -> list[str]:
    """Trains the pack, which must not continue; returns the remarks."""
    messages: list[Progress] = []
    found = train(described, report=messages.append)
    assert {message.resumed for message in messages} == {0}
    assert same(found, train(described.model_copy(update={"checkpoint": None})))
    return [message.note for message in messages if message.note]


def test_one_of_other_code_or_settings_is_not_used(checked):
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 9)
    other = checked(pack((0, 1), **STEPS), key="other")
    assert restarted(other) == ["its checkpoint was made with other code, data or settings; it starts again"]


@pytest.mark.parametrize("name", ["torch", "numpy", "device"])
def test_one_of_another_version_is_not_used(name, checked, monkeypatch):
    described = checked(pack(SEEDS, **STEPS))
    plain = module._versions
    monkeypatch.setattr(module, "_versions", lambda device: plain(device) | {name: "1.0"})
    interrupted(described, 9)
    monkeypatch.setattr(module, "_versions", plain)
    (remark,) = restarted(described)
    assert remark == (
        f"its checkpoint was made with {name} 1.0; it is {plain(torch.device('cpu'))[name]} now; it starts again"
    )


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (os.abort, ())


def damages() -> Iterator[tuple[str, Callable[[Path], object]]]:
    yield "cut", lambda file: file.write_bytes(file.read_bytes()[:-1000])
    yield "empty", lambda file: file.write_bytes(b"")
    yield "a bit", lambda file: file.write_bytes(_with_a_bit_changed(file.read_bytes()))
    yield "pickle", lambda file: file.write_bytes(pickle.dumps(Evil()))
    yield "pickled array", lambda file: rewrite(file, tensors=np.array([Evil()]))
    yield "compressed", lambda file: np.savez_compressed(file, **dict(np.load(file)))
    yield "no facts", lambda file: np.savez(file, **{k: v for k, v in np.load(file).items() if k != "facts"})
    yield "not JSON", lambda file: rewrite(file, facts=np.frombuffer(b"{", np.uint8))
    yield "fewer tensors", lambda file: rewrite(file, tensors=np.load(file)["tensors"][:-4])
    yield "other alignments", lambda file: rewrite(file, weights=np.load(file)["weights"][:, :1])
    for name, value in {
        "step": 13,
        "active": [2, 1],
        "history": [],
        "errors": [1, 2, 3],
        "marks": [[0.1]] * 3,
        "formations": [[1, [1]]] * 3,
        "stream": {"plan": {}, "planned": [], "lengths": []},
        "attributes": {"model": {"forward": 1}},
        "more": 1,
    }.items():
        yield name, lambda file, name=name, value=value: change_state(file, name, value)
    yield "a length", lambda file: change_stream(file, lambda stream: stream.update(planned=[99]))
    yield "used", lambda file: change_stream(file, lambda stream: stream["lengths"][0].__setitem__(1, 10**9))


def _with_a_bit_changed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def rewrite(file: Path, **arrays: np.ndarray) -> None:
    np.savez(file, **dict(np.load(file)) | arrays)


def change_state(file: Path, name: str, value: object) -> None:
    content = json.loads(np.load(file)["facts"].tobytes())
    content["state"][name] = value
    rewrite(file, facts=np.frombuffer(json.dumps(content).encode(), np.uint8))


def change_stream(file: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(np.load(file)["facts"].tobytes())
    change(content["state"]["stream"])
    change_state(file, "stream", content["state"]["stream"])


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage in damages()])
def test_a_damaged_one_is_named_once_and_training_starts_again(damage, checked):
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 9)
    damage(described.checkpoint.file)
    (remark,) = restarted(described)
    assert remark.startswith("its checkpoint cannot be read (")
    assert remark.endswith("); it starts again")
    assert len(remark) < 1000


def test_one_that_is_not_a_file_is_not_opened(checked):
    described = checked(pack(SEEDS, **STEPS))
    os.mkfifo(described.checkpoint.file)
    assert restarted(described) == []


def test_a_large_file_is_not_read(checked):
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 9)
    with described.checkpoint.file.open("r+b") as file:
        file.truncate(2**40)  # sparse
    assert restarted(described) == ["its checkpoint cannot be read (it is too large); it starts again"]


def test_one_with_a_long_history_and_large_alignments_is_read(checked, monkeypatch):
    """64 seeds with sentences of 300 words had more than MAX_FACTS: the pack started again after every interruption."""
    monkeypatch.setattr(module, "MAX_FACTS", 30_000)
    described = checked(pack(SEEDS, steps=60, valid_every=1))
    interrupted(described, 50)
    with zipfile.ZipFile(described.checkpoint.file) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    assert sizes["facts.npy"] + sizes["weights.npy"] > 40_000
    same(train(pack(SEEDS, steps=60, valid_every=1)), in_pieces(described, 55))


def test_it_holds_no_pickles_and_is_not_compressed(checked):
    described = checked(pack(SEEDS, **STEPS))
    interrupted(described, 9)
    with zipfile.ZipFile(described.checkpoint.file) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    with np.load(described.checkpoint.file, allow_pickle=False) as archive:
        assert {name: archive[name].dtype.kind for name in archive} == {
            "facts": "u",
            "tensors": "u",
            "weights": "f",
            "heads": "f",
        }
