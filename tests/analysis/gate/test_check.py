"""The judgement of one row, and the check of a whole run."""

import math

import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.gate.baseline import NEVER, BaselineRow, Configuration
from attnbench.analysis.gate.chances import spared_seeds
from attnbench.analysis.gate.check import check
from attnbench.analysis.gate.judge import GateVerdict, Rule, Statistic, judge, judge_row
from attnbench.errors import Exit


def by_seed(*values, first=0):
    return {first + number: value for number, value in enumerate(values)}


def decide(old, new, better=1, tolerance=0.02, level=0.01, spread=0.01, fresh=True):
    rule = Rule(better, tolerance, level, spread)
    return judge(by_seed(*old), by_seed(*new, first=100 if fresh else 0), rule)


ALIKE = (0.99, 1.0, 0.998, 0.992, 0.996)


@pytest.mark.parametrize("better", [1, -1])
def test_lower_values_of_all_seeds_are_a_regression_and_higher_ones_an_improvement(better):
    old, new = np.array(ALIKE), np.array(ALIKE) - 0.3
    if better < 0:
        old, new = 1 - old, 1 - new
    assert decide(old, new, better).verdict is GateVerdict.REGRESSION
    assert decide(new, old, better).verdict is GateVerdict.IMPROVEMENT


def test_a_difference_within_the_tolerance_is_no_regression_however_significant():
    new = [value - 0.019 for value in ALIKE]
    assert decide(ALIKE, new, fresh=False).verdict is GateVerdict.UNCHANGED
    assert (
        decide(ALIKE, new, fresh=False, tolerance=0.018).verdict is GateVerdict.REGRESSION
    )  # by the paired differences


def test_beyond_the_tolerance_but_not_significant_is_unclear():
    assert decide((0.9, 0.5, 0.7, 0.8, 0.6), (0.7, 0.4, 0.5, 0.8, 0.6)).verdict is GateVerdict.UNCLEAR


def test_equal_seeds_are_given_the_lower_bound_of_the_standard_deviation():
    assert decide([1.0] * 5, [0.97] * 5, spread=0.03).verdict is GateVerdict.UNCLEAR
    assert decide([1.0] * 5, [0.97] * 5, spread=0.01).verdict is GateVerdict.REGRESSION


def test_one_bad_seed_is_no_regression_but_most_seeds_are():
    assert decide(ALIKE, (0.99, 0.1, 1.0, 0.996, 0.99)).verdict is GateVerdict.UNCLEAR
    assert decide(ALIKE, (0.99, 0.1, 0.3, 0.1, 0.8)).verdict is GateVerdict.REGRESSION


def test_a_fault_that_makes_training_erratic_is_found_despite_its_own_variance():
    old, new = ALIKE, (0.95, 0.85, 0.75, 0.99, 0.9)
    p = stats.ttest_ind(old, new, alternative="greater").pvalue
    assert p > 0.005  # a t test of the means alone does not find it
    assert decide(old, new).verdict is GateVerdict.REGRESSION


def test_shared_seeds_show_a_small_change_that_fresh_ones_do_not():
    old = (0.5, 0.7, 0.9, 0.6, 0.8)
    new = [value - 0.04 for value in old]
    assert decide(old, new, fresh=True).verdict is GateVerdict.UNCLEAR
    assert decide(old, new, fresh=False).verdict is GateVerdict.REGRESSION


def test_the_interval_of_the_means_is_the_t_interval():
    old, new = (0.9, 0.8), (0.6, 0.5, 0.7)  # too few for a median or pairs
    verdict = decide(old, new, level=0.025)
    expected = stats.ttest_ind(new, old).confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx(tuple(expected))
    assert verdict.difference == pytest.approx(-0.25)


def test_one_seed_on_each_side_is_too_few():
    verdict = decide([1.0], [0.0])
    assert verdict.verdict is GateVerdict.TOO_FEW
    assert verdict.low is None
    assert decide([1.0], [1.0, 0.9]).verdict is not GateVerdict.TOO_FEW


@pytest.mark.parametrize(("seeds", "runs"), [(3, 3), (5, 5), (8, 4)])
def test_the_false_alarm_rate_of_normal_seeds_is_at_most_the_level(seeds, runs):
    draws = np.random.default_rng(0).normal(0.7, 0.05, (1500, seeds + runs))
    alarms = sum(decide(d[:seeds], d[seeds:], level=0.1).verdict is GateVerdict.REGRESSION for d in draws)
    assert 0.01 < alarms / len(draws) < 0.1 + 3 * np.sqrt(0.1 * 0.9 / len(draws))


def test_simulated_shifts_of_five_seeds_are_found():
    rng = np.random.default_rng(1)
    draws = rng.normal(0.9, 0.03, (300, 10)) - np.repeat([0, 0.3], 5)
    caught = sum(decide(d[:5], d[5:], level=0.01 / 30).verdict is GateVerdict.REGRESSION for d in draws)
    assert caught > 0.95 * len(draws)


# ---- a collapse, the floor and the intervals


def row_of(old, new, metric="exact_match", rows=60, **options):
    """The judgement of a row by the metric's allowance, at its level among this number of rows."""
    return judge_row(metric, by_seed(*old), by_seed(*new), 0.005 / rows, **options)[0]


def test_a_collapse_of_two_seeds_fails():
    """It was "unclear", with an interval from −2.8 to +1.1, and passed."""
    found = row_of((0.97, 0.97), (0.146, 0.11))
    assert found.verdict is GateVerdict.REGRESSION or found.below_floor
    assert found.statistic in (Statistic.MEAN, Statistic.FLOOR)


def test_three_seeds_that_fall_by_eight_points_are_unclear_and_by_twenty_fail():
    old = (0.95, 0.97, 0.96)
    assert row_of(old, (0.87, 0.9, 0.87)).verdict is GateVerdict.UNCLEAR
    assert not row_of(old, (0.87, 0.9, 0.87)).below_floor
    assert row_of(old, (0.75, 0.78, 0.76)).below_floor or row_of(old, (0.75, 0.78, 0.76)).low is not None
    assert row_of(old, (0.75, 0.78, 0.76)).verdict in (GateVerdict.UNCLEAR, GateVerdict.REGRESSION)


@pytest.mark.parametrize("seeds", [5, 8, 12])
def test_a_collapse_of_forty_percent_of_the_seeds_fails(seeds):
    lost = round(0.4 * seeds)
    spared = spared_seeds(0, 110, (0, seeds), seeds, 0.007 / 22)
    assert spared < lost
    assert row_of([0.99] * seeds, [0.05] * lost + [0.99] * (seeds - lost), spared=spared).below_floor


def test_a_seed_that_fails_is_spared_and_a_second_one_where_the_baseline_has_failures():
    assert spared_seeds(0, 110, (0, 5), 5, 0.007 / 22) == 1
    assert spared_seeds(3, 110, (0, 5), 5, 0.007 / 22) == 2
    assert spared_seeds(1, 110, (1, 5), 5, 0.007 / 22) == 4  # this configuration fails often
    assert spared_seeds(50, 110, (2, 5), 5, 0.007 / 22) == 4  # never all: a run in which every seed fell is worse
    assert spared_seeds(0, 0, (0, 2), 2, 0.01) == 1
    assert not row_of(ALIKE, (0.99, 0.1, 1.0, 0.996, 0.99)).below_floor
    assert row_of([0.99] * 4 + [0.05], [0.05] * 5, spared=4).below_floor


def test_the_share_of_seeds_that_learned_is_tested_by_fisher():
    learned, failed = [0.99], [0.3]
    old, new = learned * 14 + failed * 6, learned * 3 + failed * 17
    p = stats.fisher_exact([[14, 6], [3, 17]], alternative="greater").pvalue
    spread_out = {"spared": 19}  # so that neither the median nor the floor decides
    kept = judge(by_seed(*old), by_seed(*new, first=100), Rule(1, 0.02, p * 0.3, 0.01, accuracy=True, **spread_out))
    assert kept.verdict is not GateVerdict.REGRESSION or kept.statistic is Statistic.MEAN
    found = judge(by_seed(*old), by_seed(*new, first=100), Rule(1, 0.02, p * 1.001, 0.9, accuracy=True, **spread_out))
    assert (found.verdict, found.statistic) == (GateVerdict.REGRESSION, Statistic.LEARNED)
    assert found.low is None
    other = judge(by_seed(*old), by_seed(*new, first=100), Rule(1, 0.02, p * 0.999, 0.9, accuracy=True, **spread_out))
    assert other.verdict is GateVerdict.UNCLEAR
    no_accuracy = Rule(1, 0.02, p * 1.001, 0.9, **spread_out)
    assert judge(by_seed(*old), by_seed(*new, first=100), no_accuracy).verdict is GateVerdict.UNCLEAR


@pytest.mark.parametrize(("metric", "best"), [("exact_match", 1.0), ("aer", 0.0), ("bleu", 100.0)])
def test_an_interval_stays_within_what_the_metric_can_be(metric, best):
    high = 100.0 if metric == "bleu" else 1.0
    worst = high - best
    for old, new in [
        ((best, 0.9 * best + 0.1 * worst), (worst, 0.5 * high)),
        ((0.4 * high, 0.9 * high), (worst, best)),
    ]:
        found = row_of(old, new, metric)
        assert found.low is not None
        mean = sum(old) / len(old)
        assert -mean - 1e-12 <= found.low <= found.high <= high - mean + 1e-12


def test_the_interval_is_that_of_the_statistic_that_is_named():
    old, new = (0.5, 0.7, 0.9, 0.6, 0.8), (0.46, 0.66, 0.86, 0.56, 0.76)
    found = decide(old, new, fresh=False)
    assert found.statistic is Statistic.PAIRED
    assert found.low == pytest.approx(found.high, abs=0.05)
    assert decide(old, new).statistic is Statistic.MEAN
    assert decide(ALIKE, (0.95, 0.85, 0.75, 0.99, 0.9)).statistic is Statistic.MEDIAN


def test_the_noise_of_a_row_that_varies_is_not_below_the_floor():
    old, new = (0.39, 0.38, 0.32, 0.42, 0.52), (0.55, 0.48, 0.52, 0.60, 0.62)
    assert math.isclose(sum(new) / 5 - sum(old) / 5, 0.148)
    assert row_of(old, new, "aer").below_floor  # in a baseline whose other rows hardly vary
    found = row_of(old, new, "aer", typical=0.08)
    assert found.verdict is GateVerdict.UNCLEAR
    assert not found.below_floor


@pytest.mark.parametrize(("fall", "fails"), [(0.09, False), (0.12, True)])
def test_the_floor_of_an_accuracy_is_a_tenth(fall, fails):
    old = (0.91, 0.9, 0.89)
    new = [value - fall for value in old]
    found = judge_row("exact_match", by_seed(*old), by_seed(*new, first=10), 2e-5, spared=0)[0]
    assert found.verdict is GateVerdict.UNCLEAR
    assert found.below_floor == fails


# ---- slower learning


def test_slower_learning_fails_and_one_validation_later_does_not():
    old = (250, 250, 300, 250, 300)
    assert row_of(old, (500, 500, 550, 500, 550), "steps_to_95", resolution=50).verdict is GateVerdict.REGRESSION
    assert row_of(old, [step + 50 for step in old], "steps_to_95", resolution=50).verdict is GateVerdict.UNCHANGED
    assert row_of((250,) * 5, (500,) * 5, "steps_to_95", resolution=250).verdict is GateVerdict.UNCHANGED
    assert row_of(old, [step * 0.4 for step in old], "steps_to_95").verdict is GateVerdict.IMPROVEMENT


def steps_row(*values):
    one = row(metric="steps_to_95", values=values)
    return BaselineRow(
        one.labels, one.configuration, one.metric, one.values, one.settings | {"train.valid_every": "50"}, "", 2
    )


def with_steps(*values):
    one = configuration()
    for seed, value in enumerate(values):
        one.metrics[seed]["steps_to_95"] = value
    return one


def test_a_seed_that_never_got_there_counts_as_worse_than_any():
    result = compared([steps_row(200, 200, 250, 200, 250)], [with_steps(*[None] * 5)])
    (finding,) = result.findings
    assert (finding.verdict, result.exit) == (GateVerdict.REGRESSION, Exit.REGRESSION)
    assert finding.run == dict.fromkeys(range(5), 850)  # train.steps and a validation
    assert "5 of 5 seeds never got there (0 of 5 in the baseline); each counts as 850 steps" in finding.message
    assert compared([steps_row(200, 200, 250, 200, NEVER)], [with_steps(200, 250, None, 200, 200)]).exit is Exit.OK


def test_one_seed_that_never_got_there_passes():
    result = compared([steps_row(200, 200, 250, 200, 250)], [with_steps(200, 500, None, 200, 200)])
    assert (result.findings[0].verdict, result.exit) == (GateVerdict.UNCLEAR, Exit.OK)
    assert "1 of 5 seeds never got there (0 of 5 in the baseline); each counts as 850 steps" in (
        result.findings[0].message
    )


# ---- the check of a run


SETTINGS = {"score": "dot", "train.steps": "800", "train.clip": "1.0"}


def configuration(score="dot", key=None, values=ALIKE, **others):
    labels = {"model": "rnn", "score": score, "scope": "global", "task": "copy"}
    metrics = {seed: {"exact_match": value, "aer": others.get("aer")} for seed, value in enumerate(values)}
    given = {"settings": SETTINGS | {"score": score}, "failed": {}, "unfinished": (), "versions": ""}
    given |= {name: value for name, value in others.items() if name != "aer"}
    return Configuration(key if key is not None else score, labels, metrics=metrics, **given)


def row(score="dot", values=ALIKE, line=2, metric="exact_match"):
    one = configuration(score)
    return BaselineRow(one.labels, one.key, metric, by_seed(*values), one.settings, "", line)


def verdicts(result):
    return [(finding.verdict, finding.labels["score"]) for finding in result.findings]


def compared(rows, run, **options):
    return check("made-up", "b.csv", rows, run, **options)


def test_an_unchanged_run_passes():
    result = compared([row(), row("general", line=3)], [configuration(), configuration("general")])
    assert [verdict for verdict, _ in verdicts(result)] == [GateVerdict.UNCHANGED] * 2
    assert result.exit is Exit.OK


def test_one_regression_fails_the_check_and_the_worst_comes_first():
    run = [configuration(), configuration("a", values=[0.6] * 5), configuration("b", values=[0.1] * 5)]
    result = compared([row(), row("a"), row("b")], run)
    assert verdicts(result) == [
        (GateVerdict.REGRESSION, "b"),
        (GateVerdict.REGRESSION, "a"),
        (GateVerdict.UNCHANGED, "dot"),
    ]
    assert result.exit is Exit.REGRESSION


def test_lower_is_better_for_the_alignment_error():
    assert compared([row(values=[0.1] * 5, metric="aer")], [configuration(aer=0.5)]).exit is Exit.REGRESSION
    result = compared([row(values=[0.5] * 5, metric="aer")], [configuration(aer=0.1)])
    assert (result.findings[0].verdict, result.exit) == (GateVerdict.IMPROVEMENT, Exit.OK)


def test_with_more_rows_a_regression_must_be_larger():
    """The false alarm rate holds for all rows together."""
    new = [value - 0.03 for value in ALIKE]
    fresh = [
        Configuration(c.key, c.labels, c.settings, {s + 50: m for s, m in c.metrics.items()}, {}, (), "")
        for c in [configuration("bad", values=new), *(configuration(f"s{n}") for n in range(200))]
    ]
    assert compared([row("bad")], fresh).exit is Exit.REGRESSION
    result = compared([row("bad"), *(row(f"s{n}") for n in range(200))], fresh)
    assert (result.findings[0].verdict, result.exit) == (GateVerdict.UNCLEAR, Exit.OK)


def test_a_missing_configuration_fails_and_a_new_one_is_listed():
    result = compared([row(), row("gone")], [configuration(), configuration("added")])
    assert verdicts(result) == [
        (GateVerdict.MISSING, "gone"),
        (GateVerdict.NEW, "added"),
        (GateVerdict.UNCHANGED, "dot"),
    ]
    assert result.exit is Exit.REGRESSION
    assert compared([row()], [configuration(), configuration("added")]).exit is Exit.OK


@pytest.mark.parametrize("key", ["dot", ""])
def test_unfinished_seeds_are_missing(key):
    """Also where no seed is finished, so that the settings are unknown."""
    result = compared([row(), row("x")], [configuration(key=key, unfinished=(3, 4)), configuration("x")])
    assert (result.findings[0].verdict, result.exit) == (GateVerdict.MISSING, Exit.REGRESSION)
    assert result.findings[0].message == "seeds 3 4 are not finished"
    assert len(result.findings) == 2


def test_a_failed_cell_fails_the_check_also_of_a_new_configuration():
    for key in ("dot", "unheard of"):
        result = compared(
            [row(), row("x")], [configuration(key, failed={4: "NaN"}), configuration("x"), configuration()]
        )
        assert result.findings[0].verdict is GateVerdict.FAILED
        assert result.findings[0].message == "seed 4: NaN"
        assert GateVerdict.NEW not in {
            verdict for verdict, name in verdicts(result) if name == key
        }  # reported only once
        assert result.exit is Exit.REGRESSION
    assert compared([row()], [configuration(failed={0: "NaN"})]).exit is Exit.REGRESSION  # though nothing was compared


def test_changed_settings_are_listed_as_not_comparable():
    changed = configuration(key="other", settings=SETTINGS | {"train.steps": "20", "train.decay": "0.1"})
    result = compared([row(), row("x")], [changed, configuration("x")])
    assert verdicts(result) == [(GateVerdict.NOT_COMPARABLE, "dot"), (GateVerdict.UNCHANGED, "x")]
    assert result.findings[0].message == "train.steps: 800 → 20; train.decay: not set → 0.1"
    assert result.exit is Exit.REGRESSION
    assert compared([row()], [changed]).exit is Exit.NOTHING_COMPARABLE


def test_configurations_of_the_same_settings_stay_comparable_with_a_new_axis():
    wide = configuration(key="wide", settings=SETTINGS | {"model.width": "64"})
    for one in (same := configuration(), wide):
        one.labels["model.width"] = one.settings.get("model.width", "32")
    result = compared([row()], [same, wide])
    assert [verdict for verdict, _ in verdicts(result)] == [GateVerdict.NEW, GateVerdict.UNCHANGED]


def test_a_check_that_compared_nothing_does_not_pass():
    assert compared([row("gone")], [configuration()]).exit is Exit.NOTHING_COMPARABLE
    assert compared([row(values=[1.0])], [configuration(values=[1.0])]).exit is Exit.NOTHING_COMPARABLE


def test_a_metric_that_the_run_no_longer_has_is_missing():
    result = compared([row(), row(metric="aer")], [configuration()])
    assert (result.findings[0].verdict, result.findings[0].metric) == (GateVerdict.MISSING, "aer")
    assert result.exit is Exit.REGRESSION


def test_a_metric_that_some_seeds_no_longer_have_is_missing():
    one = configuration(aer=0.1)
    one.metrics[1]["aer"] = None
    result = compared([row(), row(metric="aer", values=[0.1] * len(ALIKE))], [one])
    assert (result.findings[0].verdict, result.findings[0].message) == (GateVerdict.MISSING, "seeds 1 have no aer")
    assert result.exit is Exit.REGRESSION


def test_a_tolerance_applies_to_its_metric_or_test_length():
    fallen = configuration(values=[value - 0.2 for value in ALIKE])
    assert compared([row()], [fallen]).exit is Exit.REGRESSION
    assert compared([row()], [fallen], tolerances={"exact_match": 0.3}).exit is Exit.OK
    assert compared([row()], [fallen], tolerances={"exact_match@20": 0.3}).exit is Exit.REGRESSION


def test_a_tolerance_of_a_metric_applies_to_all_its_lengths():
    one = configuration()
    for metrics in one.metrics.values():
        metrics["exact_match@20"] = 0.5
    far = row(metric="exact_match@20")
    assert compared([far], [one]).exit is Exit.REGRESSION
    assert compared([far], [one], tolerances={"exact_match": 0.6}).exit is Exit.OK


def test_of_several_configurations_with_the_same_labels_the_nearest_is_named():
    far = configuration(key="far", settings=SETTINGS | {"train.steps": "1", "train.clip": "2"})
    near = configuration(key="near", settings=SETTINGS | {"train.steps": "2"})
    result = compared([row()], [far, near])
    assert result.findings[0].message == "train.steps: 800 → 2"


def test_an_unclear_row_below_the_floor_fails_unless_unclear_passes():
    rows = [row(values=(0.97, 0.95))]
    run = [configuration(values=(0.5, 0.3))]
    result = compared(rows, run)
    (finding,) = result.findings
    assert (finding.verdict, finding.fails, result.exit) == (GateVerdict.UNCLEAR, True, Exit.REGRESSION)
    assert finding.judgement.statistic is Statistic.FLOOR
    assert "floor" in finding.message
    lenient = compared(rows, run, unclear_fails=False)
    assert (lenient.findings[0].verdict, lenient.findings[0].fails) == (GateVerdict.UNCLEAR, False)
    assert lenient.exit is Exit.OK


def test_an_improvement_fails_on_request_and_comes_before_what_passes():
    rows = [row(values=(0.5, 0.52, 0.51, 0.5, 0.49)), row("other", values=(0.9, 0.95, 0.85, 0.99, 0.93))]
    run = [
        configuration(values=(0.9, 0.92, 0.91, 0.9, 0.89)),
        configuration("other", values=(0.9, 0.8, 0.85, 0.8, 0.93)),
    ]
    result = compared(rows, run)
    assert {(one.verdict, one.fails) for one in result.findings} == {("improvement", False), ("unclear", False)}
    assert result.findings[0].verdict == "unclear"
    assert result.exit is Exit.OK
    strict = compared(rows, run, improvement_fails=True)
    assert [(one.verdict, one.fails) for one in strict.findings] == [("improvement", True), ("unclear", False)]
    assert strict.exit is Exit.REGRESSION


@pytest.mark.parametrize(("aer", "verdict"), [(0.24, "regression"), (0.16, "improvement"), (0.215, "unchanged")])
def test_where_the_models_are_the_same_another_metric_does_not_change_by_chance(aer, verdict):
    """A changed computation of AER is found, though its seeds vary by more than it changed."""
    usual = (0.05, 0.35, 0.2, 0.3, 0.1)
    shifted = configuration(values=ALIKE)
    for seed, metrics in shifted.metrics.items():
        metrics["aer"] = usual[seed] + aer - 0.2
    (found,) = [
        one for one in compared([row(), row(values=usual, metric="aer")], [shifted]).findings if one.metric == "aer"
    ]
    assert found.verdict == verdict
    assert found.judgement.statistic is Statistic.REPRODUCED
    assert found.judgement.difference == pytest.approx(aer - 0.2)
    assert ("reproduce another metric" in found.message) == (verdict != "unchanged")


@pytest.mark.parametrize("values", [(1.0, 1.0, 1.0, 0.99, 0.98), (0.99, 1.0, 0.998, 0.992, 0.9961)])
def test_equal_values_that_other_models_may_have_too_or_nearly_equal_ones_prove_nothing(values):
    """Three seeds at 1, or a last digit that differs."""
    usual = (0.05, 0.35, 0.2, 0.3, 0.1)
    shifted = configuration(values=values)
    for seed, metrics in shifted.metrics.items():
        metrics["aer"] = usual[seed] + 0.04
    before = (1.0, 1.0, 1.0, 0.99, 0.98) if values[1] == values[2] else ALIKE
    result = compared([row(values=before), row(values=usual, metric="aer")], [shifted])
    assert Statistic.REPRODUCED not in {one.judgement.statistic for one in result.findings}


def test_a_run_of_some_of_the_seeds_of_the_baseline_is_unchanged_where_it_reproduces_them():
    values = (0.5, 0.52, 0.51, 0.53, 0.54, 0.9, 0.91, 0.92, 0.93, 0.94)
    result = compared([row(values=values)], [configuration(values=values[:5])])
    assert [one.verdict for one in result.findings] == ["unchanged"]
    other = compared([row(values=values)], [configuration(values=(0.5, 0.52, 0.51, 0.53, 0.55))])
    assert [one.verdict for one in other.findings] == ["unclear"]


def test_a_tolerance_above_the_floor_raises_it():
    rows, run = [row(values=(0.97, 0.95))], [configuration(values=(0.5, 0.3))]
    assert compared(rows, run, tolerances={"exact_match": 0.7}).exit is Exit.OK


def test_the_failures_of_the_whole_baseline_decide_how_many_seeds_are_spared():
    """Two of five collapsed seeds fail where all others learned, and pass where seeds often fail to learn."""
    rows = [row("bad"), *(row(f"s{n}") for n in range(21))]
    run = [configuration("bad", values=(0.99, 0.05, 0.05, 1.0, 0.99)), *(configuration(f"s{n}") for n in range(21))]
    assert compared(rows, run).exit is Exit.REGRESSION
    flaky = [row("bad"), *(row(f"s{n}", values=(*ALIKE[:4], 0.05)) for n in range(21))]
    assert (
        compared(flaky, [run[0], *(configuration(f"s{n}", values=(*ALIKE[:4], 0.05)) for n in range(21))]).exit
        is Exit.OK
    )


@pytest.mark.parametrize("others", [0, 1, 5, 11, 21])
def test_two_of_five_seeds_that_collapse_fail_in_grids_of_every_size(others):
    rows = [row("bad"), *(row(f"s{n}") for n in range(others))]
    collapsed = configuration("bad", values=(0.99, 0.05, 0.05, 1.0, 0.99))
    result = compared(rows, [collapsed, *(configuration(f"s{n}") for n in range(others))])
    assert result.exit is Exit.REGRESSION
    one_seed = configuration("bad", values=(0.99, 0.05, 0.99, 1.0, 0.99))
    assert compared(rows, [one_seed, *(configuration(f"s{n}") for n in range(others))]).exit is Exit.OK


def test_configurations_that_no_seed_learns_do_not_make_the_gate_lenient():
    hard = [row(f"hard{n}", values=[0.2] * 5) for n in range(10)]
    run = [configuration("bad", values=(0.99, 0.05, 0.05, 1.0, 0.99))]
    run += [configuration(f"hard{n}", values=[0.2] * 5) for n in range(10)]
    assert compared([row("bad"), *hard], run).exit is Exit.REGRESSION
