"""The decision about a row, and what a check makes of a run."""

import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.gate.baseline import BaselineRow, Configuration
from attnbench.analysis.gate.check import check
from attnbench.analysis.gate.judge import GateVerdict, judge
from attnbench.errors import Exit


def by_seed(*values, first=0):
    return {first + number: value for number, value in enumerate(values)}


def decide(old, new, better=1, tolerance=0.02, level=0.01, spread=0.01, fresh=True):
    return judge(by_seed(*old), by_seed(*new, first=100 if fresh else 0), better, tolerance, level, spread)


ALIKE = (0.99, 1.0, 0.998, 0.992, 0.996)


@pytest.mark.parametrize("better", [1, -1])
def test_a_fall_of_all_seeds_is_a_regression_and_its_mirror_an_improvement(better):
    old, new = np.array(ALIKE), np.array(ALIKE) - 0.3
    if better < 0:
        old, new = 1 - old, 1 - new
    assert decide(old, new, better).verdict is GateVerdict.REGRESSION
    assert decide(new, old, better).verdict is GateVerdict.IMPROVEMENT


def test_within_the_tolerance_nothing_is_worse_however_sure_it_is():
    new = [value - 0.019 for value in ALIKE]
    assert decide(ALIKE, new, fresh=False).verdict is GateVerdict.UNCHANGED
    assert decide(ALIKE, new, fresh=False, tolerance=0.018).verdict is GateVerdict.REGRESSION  # by its pairs


def test_beyond_the_tolerance_but_within_chance_is_never_called_unchanged():
    assert decide((0.9, 0.5, 0.7, 0.8, 0.6), (0.7, 0.4, 0.5, 0.8, 0.6)).verdict is GateVerdict.UNCLEAR


def test_seeds_without_spread_are_believed_to_have_some():
    assert decide([1.0] * 5, [0.97] * 5, spread=0.03).verdict is GateVerdict.UNCLEAR
    assert decide([1.0] * 5, [0.97] * 5, spread=0.01).verdict is GateVerdict.REGRESSION


def test_one_freak_seed_is_no_regression_but_most_seeds_are():
    assert decide(ALIKE, (0.99, 0.1, 1.0, 0.996, 0.99)).verdict is GateVerdict.UNCLEAR
    assert decide(ALIKE, (0.99, 0.1, 0.3, 0.1, 0.8)).verdict is GateVerdict.REGRESSION


def test_a_fault_that_makes_training_erratic_does_not_hide_behind_its_own_spread():
    old, new = ALIKE, (0.95, 0.85, 0.75, 0.99, 0.9)
    p = stats.ttest_ind(old, new, alternative="greater").pvalue
    assert p > 0.005  # a t test of the means alone would let it pass
    assert decide(old, new).verdict is GateVerdict.REGRESSION


def test_seeds_in_common_show_a_small_change_that_fresh_ones_cannot():
    old = (0.5, 0.7, 0.9, 0.6, 0.8)
    new = [value - 0.04 for value in old]
    assert decide(old, new, fresh=True).verdict is GateVerdict.UNCLEAR
    assert decide(old, new, fresh=False).verdict is GateVerdict.REGRESSION


def test_the_interval_of_the_means_is_students():
    old, new = (0.9, 0.8), (0.6, 0.5, 0.7)  # too few for a median or pairs
    verdict = decide(old, new, level=0.025)
    expected = stats.ttest_ind(new, old).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx(tuple(expected))
    assert verdict.difference == pytest.approx(-0.25)


def test_one_seed_against_one_tells_nothing():
    verdict = decide([1.0], [0.0])
    assert verdict.verdict is GateVerdict.TOO_FEW
    assert verdict.low is None
    assert decide([1.0], [1.0, 0.9]).verdict is not GateVerdict.TOO_FEW


@pytest.mark.parametrize(("seeds", "runs"), [(3, 3), (5, 5), (8, 4)])
def test_false_alarms_of_normal_seeds_keep_to_the_level(seeds, runs):
    draws = np.random.default_rng(0).normal(0.7, 0.05, (1500, seeds + runs))
    alarms = sum(decide(d[:seeds], d[seeds:], level=0.1).verdict is GateVerdict.REGRESSION for d in draws)
    assert 0.01 < alarms / len(draws) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / len(draws))


def test_planted_shifts_of_five_seeds_are_caught():
    rng = np.random.default_rng(1)
    draws = rng.normal(0.9, 0.03, (300, 10)) - np.repeat([0, 0.3], 5)
    caught = sum(decide(d[:5], d[5:], level=0.01 / 30).verdict is GateVerdict.REGRESSION for d in draws)
    assert caught > 0.95 * len(draws)


# ---- the check of a run


SETTINGS = {"score": "dot", "train.steps": "800", "train.clip": "1.0"}


def configuration(score="dot", key=None, values=ALIKE, **others):
    labels = {"model": "rnn", "score": score, "scope": "global", "task": "copy"}
    metrics = {seed: {"exact_match": value, "aer": others.get("aer")} for seed, value in enumerate(values)}
    given = {"settings": SETTINGS | {"score": score}, "failed": {}, "waiting": (), "versions": ""}
    given |= {name: value for name, value in others.items() if name != "aer"}
    return Configuration(key if key is not None else score, labels, metrics=metrics, **given)


def row(score="dot", values=ALIKE, line=2, metric="exact_match"):
    one = configuration(score)
    return BaselineRow(one.labels, one.key, metric, by_seed(*values), one.settings, "", line)


def states(found):
    return [(finding.verdict, finding.labels["score"]) for finding in found.findings]


def held(rows, run, **options):
    return check("made-up", "b.csv", rows, run, **options)


def test_an_unchanged_run_passes():
    found = held([row(), row("general", line=3)], [configuration(), configuration("general")])
    assert [state for state, _ in states(found)] == [GateVerdict.UNCHANGED] * 2
    assert found.exit is Exit.OK


def test_one_regression_fails_and_stands_first_the_worst_before_the_others():
    run = [configuration(), configuration("a", values=[0.6] * 5), configuration("b", values=[0.1] * 5)]
    found = held([row(), row("a"), row("b")], run)
    assert states(found) == [
        (GateVerdict.REGRESSION, "b"),
        (GateVerdict.REGRESSION, "a"),
        (GateVerdict.UNCHANGED, "dot"),
    ]
    assert found.exit is Exit.REGRESSION


def test_less_is_better_for_the_alignment_error():
    assert held([row(values=[0.1] * 5, metric="aer")], [configuration(aer=0.5)]).exit is Exit.REGRESSION
    found = held([row(values=[0.5] * 5, metric="aer")], [configuration(aer=0.1)])
    assert (found.findings[0].verdict, found.exit) == (GateVerdict.IMPROVEMENT, Exit.OK)


def test_more_rows_ask_for_a_larger_fall():
    """The false alarms are those of all rows together."""
    new = [value - 0.03 for value in ALIKE]
    fresh = [
        Configuration(c.key, c.labels, c.settings, {s + 50: m for s, m in c.metrics.items()}, {}, (), "")
        for c in [configuration("bad", values=new), *(configuration(f"s{n}") for n in range(200))]
    ]
    assert held([row("bad")], fresh).exit is Exit.REGRESSION
    found = held([row("bad"), *(row(f"s{n}") for n in range(200))], fresh)
    assert (found.findings[0].verdict, found.exit) == (GateVerdict.UNCLEAR, Exit.OK)


def test_a_missing_configuration_fails_and_a_new_one_is_listed():
    found = held([row(), row("gone")], [configuration(), configuration("added")])
    assert states(found) == [(GateVerdict.MISSING, "gone"), (GateVerdict.NEW, "added"), (GateVerdict.UNCHANGED, "dot")]
    assert found.exit is Exit.REGRESSION
    assert held([row()], [configuration(), configuration("added")]).exit is Exit.OK


@pytest.mark.parametrize("key", ["dot", ""])
def test_unfinished_seeds_are_missing(key):
    """Also where none is finished, so that the settings are unknown."""
    found = held([row(), row("x")], [configuration(key=key, waiting=(3, 4)), configuration("x")])
    assert (found.findings[0].verdict, found.exit) == (GateVerdict.MISSING, Exit.REGRESSION)
    assert found.findings[0].message == "seeds 3 4 are not finished"
    assert len(found.findings) == 2


def test_a_failed_cell_fails_the_check_also_of_a_new_configuration():
    for key in ("dot", "unheard of"):
        found = held([row(), row("x")], [configuration(key, failed={4: "NaN"}), configuration("x"), configuration()])
        assert found.findings[0].verdict is GateVerdict.FAILED
        assert found.findings[0].message == "seed 4: NaN"
        assert GateVerdict.NEW not in {state for state, name in states(found) if name == key}  # it is told once
        assert found.exit is Exit.REGRESSION
    assert held([row()], [configuration(failed={0: "NaN"})]).exit is Exit.REGRESSION  # though nothing was compared


def test_changed_settings_are_not_comparable_and_named():
    changed = configuration(key="other", settings=SETTINGS | {"train.steps": "20", "train.decay": "0.1"})
    found = held([row(), row("x")], [changed, configuration("x")])
    assert states(found) == [(GateVerdict.NOT_COMPARABLE, "dot"), (GateVerdict.UNCHANGED, "x")]
    assert found.findings[0].message == "train.steps: 800 → 20; train.decay: nothing → 0.1"
    assert found.exit is Exit.REGRESSION
    assert held([row()], [changed]).exit is Exit.NOTHING_COMPARABLE


def test_a_new_axis_leaves_what_has_the_same_settings_comparable():
    wide = configuration(key="wide", settings=SETTINGS | {"model.width": "64"})
    for one in (same := configuration(), wide):
        one.labels["model.width"] = one.settings.get("model.width", "32")
    found = held([row()], [same, wide])
    assert [state for state, _ in states(found)] == [GateVerdict.NEW, GateVerdict.UNCHANGED]


def test_nothing_compared_is_no_pass():
    assert held([row("gone")], [configuration()]).exit is Exit.NOTHING_COMPARABLE
    assert held([row(values=[1.0])], [configuration(values=[1.0])]).exit is Exit.NOTHING_COMPARABLE


def test_a_metric_that_the_run_has_no_longer_is_missing():
    found = held([row(), row(metric="aer")], [configuration()])
    assert (found.findings[0].verdict, found.findings[0].metric) == (GateVerdict.MISSING, "aer")
    assert found.exit is Exit.REGRESSION


def test_a_metric_that_some_seeds_have_no_longer_is_missing():
    one = configuration(aer=0.1)
    one.metrics[1]["aer"] = None
    found = held([row(), row(metric="aer", values=[0.1] * len(ALIKE))], [one])
    assert (found.findings[0].verdict, found.findings[0].message) == (GateVerdict.MISSING, "seeds 1 have no aer")
    assert found.exit is Exit.REGRESSION


def test_tolerances_go_by_metric_then_by_its_length():
    fallen = configuration(values=[value - 0.2 for value in ALIKE])
    assert held([row()], [fallen]).exit is Exit.REGRESSION
    assert held([row()], [fallen], tolerances={"exact_match": 0.3}).exit is Exit.OK
    assert held([row()], [fallen], tolerances={"exact_match@20": 0.3}).exit is Exit.REGRESSION


def test_a_tolerance_of_a_metric_is_that_of_all_its_lengths():
    one = configuration()
    for metrics in one.metrics.values():
        metrics["exact_match@20"] = 0.5
    far = row(metric="exact_match@20")
    assert held([far], [one]).exit is Exit.REGRESSION
    assert held([far], [one], tolerances={"exact_match": 0.6}).exit is Exit.OK


def test_of_several_with_the_same_labels_the_nearest_is_named():
    far = configuration(key="far", settings=SETTINGS | {"train.steps": "1", "train.clip": "2"})
    near = configuration(key="near", settings=SETTINGS | {"train.steps": "2"})
    found = held([row()], [far, near])
    assert found.findings[0].message == "train.steps: 800 → 2"
