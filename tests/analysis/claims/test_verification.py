"""The verdicts on the claims of a run: which cells are compared, how parts make a claim, what is an error."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_run import plan

from analysis.claims.made_up_claims import WHERE, A, B, claim, run_with
from attnbench.analysis.claims.results import results_of_run
from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.claims.verification import exit_status, verify
from attnbench.errors import AttnbenchError

SUPPORTED, CONTRADICTED, UNDECIDED = Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.UNDECIDED
BETTER = f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.05}}"
NARROW = "{score: additive, model.width: 16}"
NOISE = np.random.default_rng(0).normal(0, 0.02, 1000)


def accuracy(labels):
    """additive: .9, and .8 on wide reverse; dot .1 less, and .4 less if wide; it varies more on reverse."""
    place = 97 * labels["seed"] + sum(map(ord, f"{labels['score']}{labels['task']}{labels['model.width']}"))
    noise, wide = NOISE[place % 1000], labels["model.width"] == 128
    mean = 0.9 - 0.1 * (wide and labels["task"] == "reverse")
    if labels["score"] == "dot":
        mean -= 0.4 if wide else 0.1
        noise *= 8 if labels["task"] == "reverse" else 1
    return float(np.clip(mean + noise, 0, 1))


def verified(folder, *claims, **options):
    return verify(results_of_run(run_with(folder, claims, options.pop("accuracy", accuracy), **options)))


def parts(folder, *parts, **options):
    return verified(folder, claim(*parts), **options).parts


@pytest.mark.parametrize(
    ("part", "verdict"),
    [
        (BETTER, SUPPORTED),
        (f"{{better: {B}, than: {A}, where: {WHERE}}}", CONTRADICTED),
        (f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.3}}", CONTRADICTED),
        (f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.1}}", UNDECIDED),
        (f"{{better: {A}, than: {B}, where: {WHERE}, more_than_in: {{model.width: 128}}}}", CONTRADICTED),
        (
            f"{{better: {A}, than: {B}, where: {{task: copy, model.width: 128}}, more_than_in: {{model.width: 16}}, "
            "by: 0.2}",
            SUPPORTED,
        ),
        (f"{{equivalent: {{task: copy}}, to: {{task: reverse}}, where: {NARROW}, within: 0.03}}", SUPPORTED),
        (f"{{equivalent: {A}, to: {B}, where: {WHERE}, within: 0.03}}", CONTRADICTED),
        (f"{{equivalent: {A}, to: {B}, where: {WHERE}, within: 0.1}}", UNDECIDED),
        (f"{{at_least: 0.85, of: {A}, where: {WHERE}}}", SUPPORTED),
        (f"{{at_least: 0.95, of: {A}, where: {WHERE}}}", CONTRADICTED),
        (f"{{at_most: 0.95, of: {A}, where: {WHERE}}}", SUPPORTED),
        (f"{{at_most: 0.85, of: {A}, where: {WHERE}}}", CONTRADICTED),
        (f"{{at_least: 0.9, of: {A}, where: {WHERE}}}", UNDECIDED),
        (f"{{at_least: 0.8, of: {A}, where: {WHERE}, in_share: 0.5}}", SUPPORTED),
        (f"{{at_most: 0.8, of: {A}, where: {WHERE}, in_share: 0.5}}", CONTRADICTED),
        (f"{{at_least: 0.9, of: {A}, where: {WHERE}, in_share: 0.5}}", UNDECIDED),
        (f"{{varies_more: {B}, than: {A}, where: {{task: reverse, model.width: 16}}}}", SUPPORTED),
        (f"{{varies_more: {A}, than: {B}, where: {{task: reverse, model.width: 16}}}}", CONTRADICTED),
        (f"{{varies_more: {B}, than: {A}, where: {WHERE}}}", UNDECIDED),
    ],
)  # fmt: skip
def test_each_kind_of_part(tmp_path, part, verdict):
    (found,) = parts(tmp_path, part, seeds=16)
    assert found.verdict is verdict
    assert found.result.n == 16


def test_pairs_are_of_the_same_seed(tmp_path):
    """Both vary much, and together."""
    (found,) = parts(
        tmp_path, BETTER, accuracy=lambda labels: 0.05 * labels["seed"] + 0.1 * (labels["score"] == "additive")
    )
    assert (found.p, found.verdict) == (2**-11, UNDECIDED)  # P(better) is not paired
    assert found.remarks == ("P(better) is below 0.75",)
    assert found.result.low == pytest.approx(0.1)
    assert found.result.high == pytest.approx(0.1)
    assert found.means == (pytest.approx(0.375), pytest.approx(0.275))


def test_lower_is_better_for_an_error_rate(tmp_path):
    part = BETTER.replace("by: 0.05", "by: 0.05, metric: aer")
    (found,) = parts(
        tmp_path, part, accuracy=lambda labels: 0.1 if labels["score"] == "additive" else 0.6, metric="aer"
    )
    assert found.verdict is SUPPORTED
    assert found.result.value == pytest.approx(0.5)


def test_a_length_has_a_metric_of_its_own(tmp_path):
    part = f"{{at_most: 0.5, of: {A}, where: {WHERE}, metric: exact_match@20}}"
    (found,) = parts(tmp_path, part, metric="exact_match@20", accuracy=lambda _: 0.2)
    assert (found.verdict, found.result.value) == (SUPPORTED, pytest.approx(0.2))


def test_a_failed_seed_is_the_worst_result(tmp_path):
    def three_fail(labels):
        return None if labels["score"] == "dot" and labels["seed"] < 3 else 0.8

    (found,) = parts(tmp_path, BETTER, accuracy=three_fail)
    assert found.means == (pytest.approx(0.8), pytest.approx(0.8 * 9 / 12))
    assert "3 failed seeds count as the worst result" in found.remarks


def test_failed_seeds_of_a_metric_without_direction_are_left_out(tmp_path):
    part = f"{{at_most: 0.5, of: {A}, where: {WHERE}, metric: attended}}"
    (found,) = parts(tmp_path, part, metric="attended", accuracy=lambda labels: None if labels["seed"] == 0 else 0.2)
    assert (found.result.n, found.result.value) == (11, pytest.approx(0.2))
    assert found.remarks == ("1 failed seed is left out",)


def test_a_claim_is_supported_if_all_parts_are_and_contradicted_if_one_is(tmp_path):
    wrong, open_ = f"{{better: {B}, than: {A}, where: {WHERE}}}", f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.1}}"
    found = verified(tmp_path, claim(BETTER, BETTER), claim(BETTER, wrong, open_), claim(BETTER, open_), seeds=16)
    assert [one.verdict for one in found.claims] == [SUPPORTED, CONTRADICTED, UNDECIDED]
    assert exit_status([found], strict=False) == exit_status([found], strict=True) == 3


def test_the_exit_status_of_undecided_claims_is_4_if_strict(tmp_path):
    found = verified(tmp_path, claim(BETTER), claim(f"{{better: {A}, than: {B}, where: {WHERE}, by: 0.1}}"), seeds=16)
    assert (exit_status([found], strict=False), exit_status([found], strict=True)) == (0, 4)
    supported = verified(tmp_path / "other", claim(BETTER))
    assert exit_status([supported], strict=True) == 0


def test_p_is_corrected_for_all_parts_of_the_file(tmp_path):
    """8 seeds that all agree have a p of .0078: enough for 6 parts, and not for 7."""
    of_six = verified(tmp_path, *[claim(BETTER, BETTER)] * 3, seeds=8)
    assert {part.verdict for part in of_six.parts} == {SUPPORTED}
    assert of_six.parts[0].p == pytest.approx(6 * 2**-7)
    of_seven = verified(tmp_path / "more", *[claim(BETTER)] * 7, seeds=8)
    assert {part.verdict for part in of_seven.parts} == {UNDECIDED}
    assert of_seven.parts[0].remarks == ("too few seeds: 9 or more can decide 7 parts",)


def test_why_a_part_is_undecided(tmp_path):
    (few,) = parts(tmp_path, BETTER, seeds=4)
    assert few.remarks == ("too few seeds: 6 or more can decide it",)
    (seldom,) = parts(
        tmp_path / "b",
        BETTER.replace(", by: 0.05", ""),
        seeds=16,
        accuracy=lambda labels: 0.9 if labels["score"] == "additive" and labels["seed"] < 7 else 0.5,
    )
    assert seldom.remarks == ("P(better) is below 0.75",)


def test_missing_cells_are_named(tmp_path):
    store = run_with(tmp_path, [claim(BETTER)], accuracy, without=lambda labels: labels["seed"] > 6)
    with pytest.raises(AttnbenchError) as error:
        verify(results_of_run(store))
    (problem,) = error.value.problems
    assert problem.what == (
        "10 of 24 cells that the claims are about are missing: score dot, task copy, model.width 16, seed 7; "
        "score dot, task copy, model.width 16, seed 8; score dot, task copy, model.width 16, seed 9; and 7 more"
    )
    assert problem.where == str(store.folder)
    assert "attnbench run" in problem.hint


def test_missing_cells_that_no_claim_is_about_do_not_matter(tmp_path):
    (found,) = parts(tmp_path, BETTER, without=lambda labels: labels["task"] == "reverse")
    assert found.verdict is SUPPORTED


def test_a_metric_without_values_is_named(tmp_path):
    with pytest.raises(AttnbenchError) as error:
        parts(tmp_path, BETTER.replace("by: 0.05", "metric: bleu"))
    (problem,) = error.value.problems
    assert problem.what == "bleu has no value in 12 of 12 cells of {task: copy, model.width: 16, score: additive}"
    assert "exact_match" in problem.hint


def test_a_run_without_claims(tmp_path):
    store = run_with(tmp_path, [], accuracy)
    hint = "add them to the grid file and run it again, .* claims: "
    with pytest.raises(AttnbenchError, match=rf"the grid has no claims\n  → {hint}\["):
        results_of_run(store)


def test_a_mistake_in_the_stored_grid_has_its_line(tmp_path):
    store = run_with(tmp_path, [claim("{at_least: 0.5, of: {score: dto, task: copy, model.width: 16}}")], accuracy)
    with pytest.raises(AttnbenchError, match=r"made-up/grid.yaml:12:37: the axis score has no value 'dto'"):
        results_of_run(store)


def test_a_run_that_is_not_tuned_yet_is_not_finished(tmp_path):
    store = run_with(tmp_path, [claim(BETTER)], accuracy)
    waiting = replace(plan(score=["dot"], seed=range(3)), waiting=plan(score=["dot"], seed=range(7)).cells)
    text = (store.folder / "grid.yaml").read_text()
    store.start(waiting, text)
    with pytest.raises(AttnbenchError, match="the run is not finished: 7 cells follow"):
        results_of_run(store)


@pytest.mark.parametrize(("bound", "value"), [("at_least", 0.3), ("at_most", 0.1 + 0.2)])
def test_a_seed_at_the_bound_fulfils_it(tmp_path, bound, value):
    """.1 + .2 is above .3 by rounding."""
    (found,) = parts(tmp_path, f"{{{bound}: 0.3, of: {A}, where: {WHERE}, in_share: 0.5}}", accuracy=lambda _: value)
    assert (found.result.value, found.verdict) == (1.0, SUPPORTED)
