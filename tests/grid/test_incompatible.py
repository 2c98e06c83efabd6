"""Which combinations are skipped, each with its reason, and that all the others are cells that can be built."""

import itertools
from pathlib import Path

import pytest
import torch

from attnbench import registry
from attnbench.grid.plan import Plan
from attnbench.tasks.build import build_task
from attnbench.training.build import build_model
from grid.conftest import Plans

MODELS = ("rnn", "pointer", "ntm", "transformer", "lstmn", "captioner")
# The scores that depend on the previous step come last.
CARRYING = ("location_conv", "coverage", "gmm")
SCORES = (
    "cosine",
    "additive",
    "location",
    "general",
    "dot",
    "scaled_dot",
    "distance",
    "bilinear",
    "trilinear",
    *CARRYING,
)
SCOPES = ("none", "global", "local-m", "local-p", "hard", "self", "monotonic")
TASKS = ("copy", "g2p", "reverse", "sort", "translate", "caption")
BETWEEN = {"global", "local-m", "local-p"}
# semantics.md §5 and §6, as what goes and not as what is refused: the scopes of each model.
GOES = {
    "rnn": BETWEEN | {"none", "hard", "monotonic"},
    "captioner": BETWEEN | {"none", "hard", "monotonic"},
    "pointer": BETWEEN,
    "ntm": {"global"},
    "transformer": {"self"},
    "lstmn": {"self"},
}
# The words of a reason that say which one it is, of (model, scope); see also what goes for the scores and tasks below.
SCOPE_REASONS = {
    ("rnn", "self"): "scope self needs a model whose queries and keys come from the same sequence, not rnn",
    ("captioner", "self"): "scope self needs a model whose queries and keys come from the same sequence, not captioner",
    ("pointer", "self"): "scope self needs a model whose queries and keys come from the same sequence, not pointer",
    ("ntm", "self"): "scope self needs a model whose queries and keys come from the same sequence, not ntm",
    ("pointer", "none"): "pointer outputs its attention weights, and scope none computes no weights",
    ("pointer", "monotonic"): "those of scope monotonic are 0 or 1 in evaluation",
    ("pointer", "hard"): "has no context, for which scope hard draws a position",
    **{
        ("ntm", scope): f"supports only scope global, found {scope}"
        for scope in SCOPES
        if scope not in ("global", "self")
    },
    **{("transformer", scope): "transformer attends within a sequence" for scope in SCOPES if scope != "self"},
    **{("lstmn", scope): "lstmn attends within a sequence" for scope in SCOPES if scope != "self"},
}
EVERYTHING = (
    "name: g\nseeds: 1\n"
    f"grid: {{score: [{', '.join(SCORES)}], scope: [{', '.join(SCOPES)}], task: [{', '.join(TASKS)}], "
    f"model.kind: [{', '.join(MODELS)}]}}\n"
    "model: {width: 8, embedding: 4, heads: 2}\n"
)


def expected_reason(model: str, score: str, scope: str, task: str) -> str | None:
    if task == "caption" and model != "captioner":
        return f"{model} reads words, and the sources of caption are images"
    if model == "captioner" and task != "caption":
        return f"captioner reads images, and the sources of {task} are words"
    if (model, scope) in SCOPE_REASONS:
        return SCOPE_REASONS[model, scope]
    if model == "pointer" and task in ("g2p", "translate"):
        return f"can only output words of the source, and {task} needs other words"
    if model == "ntm" and score in ("location", *CARRYING):
        return f"needs a score that compares content, which score {score} does not"
    if model == "transformer" and score in CARRYING:
        return f"score {score} depends on the previous step, and transformer computes all steps at once"
    if scope == "none" and score != SCORES[0]:
        return "scope none uses no score: same as cell"
    return None


def reason(plan: Plan) -> str:
    """The one reason of a plan in which something goes, and something does not."""
    (skipped,) = plan.skipped
    assert plan.cells
    return skipped.reason


def options(plan: Plan, *names: str) -> list[tuple[object, ...]]:
    """The options of every cell's model."""
    return [tuple(planned.cell.model.options[name] for name in names) for planned in plan.cells]


def test_the_lists_above_are_of_everything_there_is() -> None:
    kinds = {"model": MODELS, "score": SCORES, "scope": SCOPES, "task": TASKS}
    for kind, names in kinds.items():
        assert sorted(getattr(registry, kind).names()) == sorted(names)
    every = set(itertools.product(MODELS, SCOPES))
    assert every - SCOPE_REASONS.keys() == {(model, scope) for model, scopes in GOES.items() for scope in scopes}


def test_every_combination_is_a_cell_or_skipped_for_its_reason(plan: Plans) -> None:
    """The whole product, none of it lost: each is either one or the other."""
    found = plan(EVERYTHING)
    axes = ("model", "score", "scope", "task")
    cells = {tuple(planned.labels[axis] for axis in axes) for planned in found.cells}
    skipped = {tuple(each.labels[axis] for axis in axes): each.reason for each in found.skipped}
    assert len(cells) == len(found.cells)
    assert len(skipped) == len(found.skipped)
    assert len(cells) + len(skipped) == 6 * 12 * 7 * 6
    for model, score, scope, task in itertools.product(MODELS, SCORES, SCOPES, TASKS):
        why = expected_reason(model, score, scope, task)
        labelled = (model, "–" if scope == "none" else score, scope, task)
        if why is None:
            assert labelled in cells
            assert (model, score, scope, task) not in skipped
        else:
            assert why in skipped[model, score, scope, task]
    # rnn: 5 scopes of 12 scores, and one cell for none; pointer: no g2p or translate; ntm: no location, and no score
    # that depends on the previous step; transformer: none of these three; lstmn: all scores; captioner: as rnn, on
    # caption
    assert len(cells) == (5 * 12 + 1) * 5 + 3 * 12 * 3 + 8 * 5 + 9 * 5 + 12 * 5 + 5 * 12 + 1


def test_every_cell_that_is_left_can_be_built_and_run(plan: Plans) -> None:
    """What no rule refuses, no model does; on one sentence, with the words of the task."""
    text = EVERYTHING.replace(f"[{', '.join(TASKS)}]", "[sort, translate]")
    found = plan(text + "data: {vocabulary: 6, min_length: 3, max_length: 5}\n")
    tasks = {planned.cell.task.name: build_task(planned.cell.task, planned.cell.data) for planned in found.cells}
    assert tasks.keys() == {"sort", "translate"}
    source, previous = torch.tensor([[3, 5, 4, 2]]), torch.tensor([[1, 3, 4]])
    for planned in found.cells:
        task = tasks[planned.cell.task.name]
        model = build_model(planned.cell, task, 6, 0).eval()
        output = model(source, None, previous)
        assert output.logits.shape == (1, 3, len(task.target_words)), planned.labels
        assert output.weights.shape == (1, 3, 4), planned.labels
        assert output.logits.isfinite().all(), planned.labels


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("score", SCORES)
def test_a_grid_of_one_model_goes_as_one_of_several_does(plan: Plans, model: str, score: str) -> None:
    """With `model: {kind: …}` and not an axis."""
    task = "caption" if model == "captioner" else "copy"
    text = f"name: g\nseeds: 2\ngrid: {{score: [{score}], scope: [{', '.join(SCOPES)}], task: [{task}]}}\n"
    included = f"include: [{{score: dot, scope: {min(GOES[model])}, task: {task}, train.steps: 3}}]\n"
    found = plan(text + included + f"model: {{kind: {model}}}\n")
    without = {"ntm": ("location", *CARRYING), "transformer": CARRYING}
    wanted = set() if score in without.get(model, ()) else GOES[model]
    labels = [planned.labels for planned in found.cells if planned.labels["train.steps"] != 3]
    assert sorted((each["scope"], each["seed"]) for each in labels) == sorted(itertools.product(wanted, (0, 1)))
    assert {each.labels["scope"] for each in found.skipped} == set(SCOPES) - wanted


def test_input_feeding_needs_the_query_after_the_step(plan: Plans) -> None:
    text = "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy], model.query: [previous, current], "
    found = plan(text + "model.input_feeding: [true, false]}\n")
    assert options(found, "query", "input_feeding") == [("previous", False), ("current", True), ("current", False)]
    assert reason(found) == "model.input_feeding needs model.query: current, found previous"


def test_a_coverage_penalty_needs_weights(plan: Plans) -> None:
    text = "name: g\nseeds: 1\nmodel: {kind: captioner}\ngrid: {score: [dot], scope: [none, global], task: [caption], "
    found = plan(text + "model.coverage_penalty: [0, 1.5]}\n")
    assert [each.labels["scope"] for each in found.cells] == ["none", "global", "global"]
    assert "model.coverage_penalty 1.5" in reason(found)
    fixed = text.replace("kind: captioner", "kind: captioner, coverage_penalty: 1") + "train.steps: [5]}\n"
    found = plan(fixed + "include: [{scope: none, model.coverage_penalty: 0}]\n")
    assert options(found, "coverage_penalty") == [(1,), (0,)]


TRANSFORMER = "name: g\nseeds: 1\nmodel: {kind: transformer}\ngrid: {score: [dot], scope: [self], task: [copy], "


def test_heads_share_the_width_evenly(plan: Plans) -> None:
    found = plan(TRANSFORMER + "model.width: [12], model.heads: [1, 2, 3, 4, 5, 6, 12]}\n")
    assert options(found, "heads") == [(1,), (2,), (3,), (4,), (6,), (12,)]
    assert reason(found) == "model.width 12 is not divisible by 5 heads"
    assert "not divisible by 24 heads" in reason(plan(TRANSFORMER + "model.width: [12], model.heads: [12, 24]}\n"))
    assert "model.width 10" in reason(plan(TRANSFORMER + "model.width: [10, 8], model.heads: [4]}\n"))


def test_rotary_needs_heads_of_an_even_width_and_other_positions_do_not(plan: Plans) -> None:
    axes = "model.width: [12], model.heads: [1, 2, 4], model.positions: [rotary, sinusoidal, learned, alibi, none]}\n"
    found = plan(TRANSFORMER + axes)
    assert reason(found) == "rotary positions need an even width per head, found 3"
    assert [positions for _, positions in options(found, "heads", "positions")].count("rotary") == 2
    assert len(found.cells) == 14
    assert "an even width per head, found 1" in reason(
        plan(TRANSFORMER + "model.heads: [2, 4], model.width: [4], model.positions: [rotary]}\n")
    )


def test_each_reason_has_only_its_own_model(plan: Plans) -> None:
    """Heads that do not fit, and feeding without its query, are no concern of the others in the same grid."""
    text = EVERYTHING.replace(f"[{', '.join(TASKS)}]", "[copy]").replace("heads: 2", "heads: 3, input_feeding: true")
    found = plan(text.replace("width: 8", "width: 10"))
    assert {planned.cell.model.name for planned in found.cells} == {"pointer", "ntm", "lstmn"}
    assert len(found.cells) == 3 * 12 + 8 + 12


def test_a_skip_counts_for_all_seeds(plan: Plans) -> None:
    text = "name: g\nseeds: 5\ngrid: {score: [dot], scope: [global, none], task: [copy]}\nmodel: {kind: pointer}\n"
    found = plan(text)
    assert [planned.cell.seed for planned in found.cells] == [0, 1, 2, 3, 4]
    assert [(each.labels["scope"], each.labels["seed"], each.labels["model"]) for each in found.skipped] == [
        ("none", None, "pointer")
    ]


OWN = """
import attnbench

@attnbench.model("own")
class Own(attnbench.Seq2Seq):
    def __init__(self, source_vocabulary: int, input_feeding: bool = True, heads: int = 3, width: int = 10):
        pass
    def encode(self, *given): ...
    def step(self, *given): ...

@attnbench.scope("wide")
class Wide:
    def __init__(self):
        pass
    def __call__(self, *given): ...
"""


def test_a_users_own_model_goes_with_everything(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(OWN)
    text = EVERYTHING.replace(f"[{', '.join(MODELS)}]", "[own]") + "plugins: [p.py]\n"
    text = text.replace("embedding: 4, heads: 2", "heads: 3").replace("width: 8", "width: 10")
    found = plan(text)
    assert len(found.cells) == (6 * 12 + 1) * 5
    reasons = {each.reason.partition(":")[0] for each in found.skipped}
    assert reasons == {"scope none uses no score", "own reads words, and the sources of caption are images"}


def test_a_users_own_scope_goes_with_the_models_that_read_another_sequence(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(OWN)
    text = "name: g\nseeds: 1\nplugins: [p.py]\ngrid: {score: [dot], scope: [wide], task: [copy], "
    found = plan(text + f"model.kind: [{', '.join(MODELS)}]}}\n")
    assert [planned.cell.model.name for planned in found.cells] == ["rnn", "pointer"]
    assert [each.labels["model"] for each in found.skipped] == ["ntm", "transformer", "lstmn", "captioner"]
