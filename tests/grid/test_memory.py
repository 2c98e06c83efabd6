"""What cannot fit into memory is refused before it is made; what could is not."""

from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError
from attnbench.grid import memory
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.memory import check_size, least_memory, machine_memory
from attnbench.grid.packs import packs
from attnbench.scores import hidden_layer
from attnbench.tasks.build import build_task
from attnbench.tasks.streams import training_stream
from grid.conftest import Plans

GB = 10**9
GRID = "name: g\nseeds: 2\ngrid: {score: [additive], task: [copy]}\n"


@pytest.mark.parametrize(
    ("override", "most"),
    [
        ("model.width=1000000000", "the parameters"),
        ("model.embedding=9000000000000000000", "the parameters"),
        ("data.vocabulary=1000000", "the parameters"),
        ("train.batch_size=1000000000", "the states"),
        ("data.max_length=10000000", "the attention weights"),
        ("train.batch_size=3000000", "the states"),
        ("data.test_examples=10000000000", "the examples"),
        ("data.validation_examples=10000000000", "the examples"),
        ("data.test_lengths=[1000000000]", "the examples"),
        ("model={kind: ntm, slots: 1000000000000}", "the states"),
        ("model={kind: transformer, layers: 1000000000}", "the parameters"),
        ("grid.score=[{name: additive, hidden: 1000000000}]", "the parameters"),
        ("grid.score=[{name: location, max_source_length: 1000000000}]", "the parameters"),
    ],
)
def test_absurd_sizes_are_refused_by_what_takes_most(plan: Plans, override: str, most: str) -> None:
    scope = ["grid.scope=[self]"] if "transformer" in override else []
    with pytest.raises(AttnbenchError) as caught:
        check_size(packs(plan(GRID, override, *scope).cells), 4 * GB)
    (problem,) = caught.value.problems
    assert "needs at least" in problem.what
    assert "only 4 GB are available" in problem.what
    assert problem.what.partition(" for ")[2].startswith(most)
    assert "cell " in problem.where
    assert problem.hint


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml")), ids=lambda f: f.stem
)
def test_real_grids_are_far_from_the_limit(file: Path) -> None:
    check_size(packs(expand(load_grid(file)).cells), GB)


def test_large_but_possible_sizes_are_accepted(plan: Plans) -> None:
    overrides = ["model.width=1024", "train.batch_size=64", "data.max_length=100", "data.test_lengths=[400]"]
    check_size(packs(plan(GRID, *overrides).cells), 16 * GB)


@pytest.mark.parametrize("score", ["additive", "coverage", "location_conv", "dot"])
def test_long_sources_that_were_trained_in_less_are_accepted(plan: Plans, score: str) -> None:
    """Eight seeds with 400 words, width 64 and batches of 32 take at most 4 GB (results/speed.md)."""
    overrides = [f"grid.score=[{score}]", "seeds=8", "data.max_length=400", "data.test_lengths=[]"]
    check_size(packs(plan(GRID, *overrides).cells), 4 * GB)


def test_hidden_layers_are_kept_up_to_the_limit_of_the_scores() -> None:
    assert memory.KEPT == hidden_layer.KEPT


def test_the_parts_grow_with_the_replicas_and_the_batch(plan: Plans) -> None:
    def bytes_of(*overrides: str) -> list[int]:
        return [need.bytes for need in least_memory(packs(plan(GRID, *overrides).cells)[0])]

    one, two, batch = bytes_of("seeds=1"), bytes_of("seeds=2"), bytes_of("seeds=1", "train.batch_size=64")
    assert two == [*(2 * number for number in one[:5]), one[5]]
    assert batch == [one[0], *(2 * number for number in one[1:5]), one[5]]
    # 20 symbols, embeddings of 32, width 64, 10 words: by hand.
    assert one[1] == 4 * 32 * 10 * 20
    assert one[2] == 4 * 32 * 20 * 64
    assert one[3] == 4 * 32 * 10 * 10 * 64
    for score, depth in (("coverage", 64), ("location_conv", 64), ("{name: additive, hidden: 5}", 5), ("dot", 1)):
        assert bytes_of("seeds=1", f"grid.score=[{score}]")[3] == 4 * 32 * 10 * 10 * depth


@pytest.mark.parametrize(("digits", "batch"), [("[2, 5]", 32), ("[24, 25]", 64)])
def test_scenes_are_generated_ahead_for_every_replica_and_length(plan: Plans, digits: str, batch: int) -> None:
    """Fewer batches where their links would be large."""
    grid = f"name: g\nseeds: 2\ngrid: {{score: [dot], task: [{{name: caption, digits: {digits}}}]}}\n"
    pack = packs(plan(grid + f"model: {{kind: captioner}}\ntrain: {{batch_size: {batch}}}\n").cells)[0]
    ahead = next(need.bytes for need in least_memory(pack) if "ahead" in need.what)
    cell = pack.cell
    stream = training_stream(build_task(cell.task, cell.data), cell.task, cell.data, pack.seeds, cell.train.batch_size)
    for _ in range(30):
        stream.batch()
    assert ahead == sum(block.source.nbytes for block, _ in stream._ready.values())


def test_the_images_of_a_custom_task_may_be_small(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import attnbench\n@attnbench.task('mine')\nclass Mine:\n    images, image_size = True, (8, 8)\n"
        "    source_words = target_words = ['<pad>', '<bos>', '</s>', 'a']\n"
        "    def check(self, length): return None\n"
        "    def generate(self, random, length, count): raise NotImplementedError\n"
    )
    grid = "name: g\nplugins: [mine.py]\ngrid: {score: [dot], task: [mine]}\nmodel: {kind: captioner}\n"
    (ahead,) = (n.bytes for n in least_memory(packs(plan(grid).cells)[0]) if "ahead" in n.what)
    assert ahead == 0


def test_only_the_first_are_listed_and_the_rest_counted(plan: Plans) -> None:
    with pytest.raises(AttnbenchError) as caught:
        check_size(packs(plan(GRID, "grid.model.width=[2, 4, 6, 8, 10]").cells), 1000)
    assert len(caught.value.problems) == 4
    assert caught.value.problems[-1].what == "and 2 more packs that do not fit into memory"


def test_the_memory_of_sentence_pairs_is_not_estimated(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("".join(f"a b c{n}\tx\n" for n in range(99)))
    grid = "name: g\nseeds: 1\ngrid: {score: [dot], task: [translate]}\n"
    text = f"{grid}data: {{path: pairs.tsv, test_examples: 1000000000000}}"
    (tmp_path / "grid.yaml").write_text(text)
    check_size(packs(expand(load_grid(tmp_path / "grid.yaml")).cells), GB)


def test_a_container_has_what_it_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUP", limit)
    whole = machine_memory()
    assert whole is not None
    assert whole > 10**8
    limit.write_text("1000000\n")
    assert machine_memory() == 1_000_000
    limit.write_text("max\n")
    assert machine_memory() == whole


def test_on_a_machine_of_unknown_memory_nothing_is_refused(plan: Plans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: None)
    check_size(packs(plan(GRID, "model.width=1000000000").cells))


def test_sentence_pairs_are_not_advised_to_set_their_lengths(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("a b\tx\n" + "w " * 4000 + "\tx\n")
    text = "name: g\nseeds: 1\ngrid: {score: [additive], task: [translate]}\ndata: {path: pairs.tsv}\n"
    with pytest.raises(AttnbenchError) as caught:
        check_size(packs(plan(text, "train.batch_size=2000", "model.width=512").cells), 4 * GB)
    (problem,) = caught.value.problems
    assert problem.hint == "lower train.batch_size or the number of seeds, or remove the longest lines, of 4,000 words"
