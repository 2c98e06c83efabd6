"""The engine ray, on a real cluster of several nodes on this machine."""

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fake_training import FAKE, pack
from ports import free_port
from ray_command import attn

import attnbench
from attnbench.engines import ray as ray_engine
from attnbench.engines import ray_node
from attnbench.engines.base import Finished, Started
from attnbench.engines.ray import RayEngine
from attnbench.errors import AttnbenchError
from attnbench.outcome import Outcome, Progress

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS.parent / "benchmarks"))

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'attnbench[ray]'")
from reliability_ray import cluster  # noqa: E402

GRID = """
name: shipped
seeds: 2
grid: {score: [mine, dot], task: [translate]}
data: {path: pairs.tsv, validation_examples: 20, test_examples: 20}
model: {kind: rnn, width: 8, embedding: 4}
train: {steps: 4, batch_size: 4, valid_every: 2}
plugins: [mine.py]
"""
MINE = '''
import torch
import attnbench


@attnbench.score("mine")
class Mine(torch.nn.Module):
    """A score of the user's own."""

    def forward(self, query, keys):
        return query @ keys.mT / 3
'''


@pytest.fixture(scope="module")
def made() -> Iterator:
    """A head without CPUs and two nodes with one each; their workers import this attnbench and the tests' trainings."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "120")  # Ray's 30 s are few on a busy machine
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (TESTS, TESTS / "engines", TESTS.parent))))
        with cluster(ray_client_server_port=port) as running:
            running.client = f"ray://127.0.0.1:{port}"
            yield running


@pytest.fixture(scope="module")
def engine(made) -> Iterator[RayEngine]:
    with pytest.MonkeyPatch.context() as patch, closing(RayEngine(10, "auto", FAKE, address="auto")) as joined:
        patch.setenv("RAY_ADDRESS", made.address)  # "auto" goes there, and not to another cluster of this machine
        joined.prepare()
        yield joined


def outcomes(engine: RayEngine, *packs) -> dict[str, Outcome]:
    events = engine.run(packs, lambda _: None)
    return {outcome.cell: outcome for event in events if isinstance(event, Finished) for outcome in event.outcomes}


def test_every_pack_starts_then_finishes_once(engine):
    progress: list[Progress] = []
    packs = [pack(n) for n in range(7)]
    started, finished = [], []
    for event in engine.run(packs, progress.append):
        if isinstance(event, Started):
            started.append(event.pack)
        else:
            assert event.pack in started
            assert [o.cell for o in event.outcomes] == list(event.pack.ids)
            finished.append(event.pack)
    assert sorted(p.ids for p in started) == sorted(p.ids for p in finished) == [p.ids for p in packs]


def test_progress_comes_while_a_pack_is_trained(engine):
    progress: list[Progress] = []
    events = engine.run([pack(0, "sleep", seeds=1, timeout=3)], progress.append)
    assert isinstance(next(events), Started)
    (ended,) = events
    assert len(progress) > 3
    assert "longer than train.timeout, 3 s" in ended.outcomes[0].error


def test_it_has_the_workers_of_the_cluster_and_one_thread_for_each(engine):
    assert engine.workers == 2
    done = outcomes(engine, *(pack(n) for n in range(6)))
    assert {o.versions["threads"] for o in done.values()} == {1}
    assert {o.versions["device"] for o in done.values()} == {"cpu"}
    assert os.getpid() not in {o.metrics["process"] for o in done.values()}


def test_a_raising_pack_fails_alone_and_is_not_repeated(engine):
    done = outcomes(engine, pack(0), pack(1, "raise"), pack(2, "exit"), pack(3))
    assert {cell for cell, o in done.items() if o.status == "failed"} == {"1-0", "1-1", "2-0", "2-1"}
    assert done["1-1"].error.startswith("ValueError: the cell is broken (fake_training.py, line ")
    assert done["2-0"].error.startswith("SystemExit: 3 (fake_training.py")
    assert not engine.died


def test_what_cannot_be_sent_back_fails(engine, monkeypatch):
    monkeypatch.setattr(engine, "train", "locked_training:train")
    (outcome,) = outcomes(engine, pack(0, seeds=1)).values()
    assert outcome.status == "failed"
    assert "cannot pickle '_thread.lock' object" in outcome.error


def test_a_worker_that_dies_is_tried_once_more_alone(engine, tmp_path):
    done = outcomes(engine, pack(0, "die"), pack(1), pack(2, f"die once, {tmp_path / 'once'}"), pack(3))
    assert {cell for cell, o in done.items() if o.status == "failed"} == {"0-0", "0-1"}
    assert "died twice, the second time with no other pack running: perhaps its node ran out" in done["0-0"].error
    assert engine.died == {"0-0": 2, "2-0": 1}


def test_few_packs_are_handed_out_ahead(engine, monkeypatch):
    handed = []
    submit = RayEngine._submit
    monkeypatch.setattr(RayEngine, "_submit", lambda self, pack: handed.append(pack) or submit(self, pack))
    events = engine.run([pack(n) for n in range(50)], lambda _: None)
    next(events)
    assert len(handed) <= 4
    engine.wanted = 1
    engine._measure(ray)
    assert engine._most == 1
    engine.wanted = 10
    engine._measure(ray)
    for _ in events:
        pass


def test_a_missing_file_fails_its_pack(engine, tmp_path):
    bad = pack(1).model_copy(update={"plugins": (str(tmp_path / "gone.py"),)})
    done = outcomes(engine, pack(0), bad)
    assert done["0-0"].status == "done"
    assert f"{tmp_path / 'gone.py'} cannot be read" in done["1-0"].error


@pytest.mark.usefixtures("engine")
def test_a_missing_gpu_is_reported():
    with closing(RayEngine(1, "cuda", FAKE)) as guest, pytest.raises(AttnbenchError, match="no GPU"):
        guest.prepare()


def test_shares_of_a_gpu_bound_the_packs():
    class Fake:
        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return {"CPU": 32.0, "GPU": 2.0}

    engine = RayEngine(100, "cuda", FAKE, gpus_per_pack=0.3)
    assert engine._capacity(Fake) == 6
    engine.device = "cpu"
    assert engine._capacity(Fake) == 32


@pytest.mark.usefixtures("engine")
def test_another_attnbench_on_a_node_is_reported_before_training(monkeypatch):
    monkeypatch.setattr(ray_node, "_package_digest", lambda: "00000000")
    monkeypatch.setattr(ray_engine, "join", lambda *_: (ray, False))
    other = RayEngine(1, "cpu", FAKE, address="elsewhere")
    with (
        pytest.raises(AttnbenchError, match=r"has attnbench .*but the driver has attnbench .*\(00000000\)"),
        closing(other),
    ):
        other.prepare()


def test_a_node_that_joins_later_is_checked_too(engine, monkeypatch):
    monkeypatch.setattr(engine, "_checked", ray.put(frozenset({"another node"})))
    assert outcomes(engine, pack(0))["0-0"].status == "done"
    monkeypatch.setattr(engine, "_code", "attnbench 0.0.1 (00000000)")
    assert "but the driver has attnbench 0.0.1 (00000000)" in outcomes(engine, pack(1))["1-0"].error


@pytest.mark.usefixtures("engine")
def test_a_second_cluster_is_not_joined_silently():
    with pytest.raises(AttnbenchError, match="already connected"):
        RayEngine(1, "cpu", FAKE, address="auto").prepare()


def test_a_connection_of_the_program_is_used_and_kept(engine):
    guest = RayEngine(2, "cpu", FAKE)
    guest.prepare()
    assert outcomes(guest, pack(0))["0-0"].status == "done"
    events = guest.run([pack(1, "sleep"), pack(2, "sleep")], lambda _: None)
    next(events)
    guest.close()
    guest.close()
    assert ray.is_initialized()
    assert outcomes(engine, pack(3))["3-0"].status == "done"  # the CPUs are free again


# --- the command


def rows(file: Path) -> list[dict[str, str]]:
    timed = ("seconds", "tokens_per_second")
    with file.open() as lines:
        return [{k: v for k, v in row.items() if k not in timed} for row in csv.DictReader(lines)]


def test_ray_client_ships_plugins_and_data_and_gives_the_same_table(made, tmp_path):
    words = [f"w{n % 7} w{n % 5} w{n % 3}" for n in range(105)]
    (tmp_path / "pairs.tsv").write_text("".join(f"{line} x{n}\t{line}\n" for n, line in enumerate(words)))
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "grid.yaml").write_text(GRID)
    grid = str(tmp_path / "grid.yaml")
    with attn(tmp_path / "cluster", grid, "--engine", "ray", "--address", made.client) as run:
        told, complained = run.communicate(timeout=200)
    assert run.returncode == 0, told + complained
    assert "ray" not in complained.replace(str(tmp_path), "").lower()
    attnbench.run(grid, results=tmp_path / "here", engine="serial", device="cpu", mlflow=False)
    there = rows(tmp_path / "cluster" / "shipped" / "table.csv")
    assert {row["status"] for row in there} == {"done"}
    assert len(there) == 4
    assert there == rows(tmp_path / "here" / "shipped" / "table.csv")
