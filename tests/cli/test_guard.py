"""`attnbench guard`: exit statuses, formats, the baseline, and what a user's mistake is answered with."""

import json
import os
import sys
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch

import attnbench
from attnbench.cli import main
from attnbench.guarding import trained
from attnbench.guarding.trained import Training

SOURCE = """
import torch

def attend(query, key, value, mask=None):
    logits = query @ key.mT / key.shape[-1] ** 0.5
    if mask is not None:
        mask = mask if mask.ndim == 3 else mask[:, None]
        logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    return logits.softmax(-1) @ value

def leaky(query, key, value, mask=None):
    return attend(query, key, value)

def writes(query, key, value, mask=None):
    query += 1
    return attend(query, key, value, mask)
"""
TWO = Training((0.99, 1.0, 1.0, 1.0, 0.98), (400, 450, 400, 500, 450), 600, 1.0)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "under_test.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("under_test", None)
    yield
    sys.modules.pop("under_test", None)


@pytest.fixture
def training(monkeypatch):
    """What training gives, in place of training; a test may change it."""
    given = {"copy": TWO, "reverse": TWO}
    monkeypatch.setattr(trained, "train_on", lambda _target, name: given[name])
    return given


@pytest.fixture
def typed(capsys):
    """Types a command; returns its exit status and what it printed."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            # Few positions, to be fast; where it matters, a test says more.
            main(["guard", *(["--longest", "12"] if "--longest" not in arguments else []), *arguments])
        return ended.value.code or 0, capsys.readouterr()

    return run


@pytest.mark.usefixtures("training")
def test_a_right_attention_passes(typed):
    status, printed = typed("under_test.py:attend")
    assert status == 0
    first, *lines = printed.out.splitlines()
    assert first == (
        "under_test.py:attend: query, key, value (B,T,D), D=32; mask (B,S) and (B,T,S): True may be attended to; "
        "returns the context"
    )
    outcomes = {line[2:].split("  ")[0]: line for line in lines if line.startswith("  ") and line[2] != " "}
    assert "passed" in outcomes["padding"]
    assert "not applicable  only with --causal" in outcomes["future"]
    assert "exact match 1.00 (0.98 to 1.00, 5 seeds); 600 steps" in outcomes["copy"]
    assert lines[-1].startswith("under_test.py:attend: passed (")
    assert "training on reverse" in printed.err


def test_a_fault_fails_with_its_counterexample(typed):
    status, printed = typed("under_test.py:leaky", "--no-train")
    assert status == 3
    assert "  padding                FAILED          what stands at masked positions changes the context" in printed.out
    assert "B=1 T=1 S=2, seed 0, float32" in printed.out
    assert "    from under_test import leaky\n" in printed.out
    assert "copy" not in printed.out


def test_one_that_writes_to_its_inputs_gets_one_message(typed):
    status, printed = typed("under_test.py:writes")
    assert status == 3
    assert "  inputs  FAILED          a call writes to its inputs" in printed.out
    assert "1 failed" in printed.out
    assert "passed" not in printed.out.splitlines()[-1].removeprefix("under_test.py:writes: ")


@pytest.mark.parametrize(
    ("at", "kept", "left"), [("copy", [], ["copy", "reverse"]), ("reverse", ["copy"], ["reverse"])]
)
def test_ctrl_c_in_training_prints_what_has_ended(typed, monkeypatch, at, kept, left):
    def train_on(_target, name):
        if name == at:
            raise KeyboardInterrupt
        return TWO

    monkeypatch.setattr(trained, "train_on", train_on)
    status, printed = typed("under_test.py:attend", "--baseline", "kept.csv", "--update")
    assert status == 130
    rows = {line.split()[0]: line for line in printed.out.splitlines() if line.startswith("  ")}
    assert "not applicable" in rows["future"]
    assert [name for name in ("copy", "reverse") if name in rows] == kept
    assert printed.out.splitlines()[-1].startswith("under_test.py:attend: interrupted (")
    assert printed.out.endswith(f"not run: {', '.join(left)})\n")
    assert not os.path.exists("kept.csv"), "a part of a training is no baseline"


def test_an_interrupted_guard_has_not_passed_in_any_format(typed, monkeypatch):
    def train_on(_target, _name):
        raise KeyboardInterrupt

    monkeypatch.setattr(trained, "train_on", train_on)
    status, printed = typed("under_test.py:attend", "--format", "junit")
    suites = ElementTree.fromstring(printed.out)
    assert (status, suites.get("failures"), suites.get("errors")) == (130, "0", "2")
    not_run = [case.get("name") for case in suites.iter("testcase") if case.find("error") is not None]
    assert not_run == ["copy", "reverse"]
    found = json.loads(typed("under_test.py:attend", "--format", "json")[1].out)
    assert (found["exit"], found["not_run"]) == (130, ["copy", "reverse"])


def test_a_warning_fails_with_strict_alone(typed):
    status, printed = typed("under_test.py:attend", "--no-train")
    assert (status, "  padding NaN            warned" in printed.out) == (0, True)
    assert typed("under_test.py:attend", "--no-train", "--strict")[0] == 3


def test_on_a_terminal_remarks_are_wrapped_in_their_column(typed, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in typed("under_test.py:attend", "--no-train")[1].out.splitlines()]
    (start,) = [number for number, line in enumerate(lines) if line.startswith("  backends")]
    assert lines[start].endswith("not applicable  no call of scaled_dot_product_attention")
    assert lines[start + 1] == " " * 41 + "was seen"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--causal"], "future                 FAILED"),
        (["--score", "dot"], "formula                FAILED"),
        (["--score", "scaled_dot"], "formula                passed"),
        (["--mask", "none"], "padding                not applicable  it takes no mask (--mask none)"),
        (["--mask", "padding"], "padding                FAILED"),
        (["--positions", "absolute"], "permutation            not applicable  it depends on positions"),
        (["--positions", "relative"], "distances              passed"),
        (["--skip", "padding NaN", "--skip", "backends"], "padding NaN            not applicable  --skip"),
        (["--unnormalised"], "equal values           not applicable"),
        (["--heads", "2"], "heads                  FAILED"),
        (["--width", "8"], "under_test.py:attend: query, key, value (B,T,D), D=8;"),
        (["--layout", "bhtd", "--heads", "2"], "under_test.py:attend: query, key, value (B,H,T,D/H), D=32, 2 heads;"),
    ],
)
def test_each_option_changes_what_is_tested(typed, options, line):
    assert line in typed("under_test.py:attend", "--no-train", *options)[1].out


def test_the_seed_and_the_longest_length_change_the_counterexample(typed):
    assert "seed 5" in typed("under_test.py:leaky", "--no-train", "--seed", "5")[1].out
    text = SOURCE + "\ndef long(query, key, value, mask=None):\n    return leaky(query, key[:, :40], value[:, :40])\n"
    with open("under_test.py", "w") as file:
        file.write(text)
    sys.modules.pop("under_test")
    assert "influence              FAILED" in typed("under_test.py:long", "--no-train", "--longest", "129")[1].out
    assert (
        "influence              passed"
        in typed("under_test.py:long", "--no-train", "--longest", "30", "--mask", "none")[1].out
    )


@pytest.mark.usefixtures("training")
def test_json_has_every_number(typed):
    status, printed = typed("under_test.py:leaky", "--format", "json")
    found = json.loads(printed.out)
    assert (status, found["exit"], found["attention"]) == (3, 3, "under_test.py:leaky")
    by_name = {result["name"]: result for result in found["results"]}
    case = by_name["padding"]["counterexample"]
    assert by_name["padding"]["fails"]
    assert case["size"] == {"batch": 1, "queries": 1, "keys": 2}
    assert case["first"] != case["second"]
    assert by_name["future"]["outcome"] == "not applicable"
    assert by_name["copy"]["outcome"] == "passed"


def test_junit_counts_failures_and_skips(typed):
    suite = ElementTree.fromstring(typed("under_test.py:leaky", "--no-train", "--format", "junit")[1].out)[0]
    failures = [case for case in suite if case.find("failure") is not None]
    assert int(suite.get("failures")) == len(failures) > 1
    assert int(suite.get("skipped")) == len([case for case in suite if case.find("skipped") is not None]) > 1
    assert int(suite.get("tests")) == len(suite)
    assert "from under_test import leaky" in next(
        c.find("failure").text for c in failures if c.get("name") == "padding"
    )


def test_github_annotates_failures_and_warnings(typed):
    lines = typed("under_test.py:leaky", "--no-train", "--format", "github")[1].out.splitlines()
    assert any(line.startswith("::error title=attnbench guard under_test.py%3Aleaky%3A padding::") for line in lines)
    assert any("%0Aimport torch%0A" in line for line in lines)
    assert lines[-1].startswith("under_test.py:leaky: failed (")


def test_the_baseline_notices_slower_learning(typed, training):
    status, printed = typed("under_test.py:attend", "--baseline", "guard.csv")
    assert status == 2
    assert "add --update to write it" in printed.err
    status, printed = typed("under_test.py:attend", "--baseline", "guard.csv", "--update")
    assert status == 0
    assert "wrote 4 rows to guard.csv" in printed.err
    status, printed = typed("under_test.py:attend", "--baseline", "guard.csv")
    assert status == 0
    assert "copy unchanged: exact_match" in printed.out
    training["copy"] = Training(TWO.exact_match, (800, 850, 900, 800, 850), 1000, 1.0)
    status, printed = typed("under_test.py:attend", "--baseline", "guard.csv")
    assert status == 3
    assert "copy regression: steps_to_95 changed from 440 to 840" in printed.out
    found = json.loads(typed("under_test.py:attend", "--baseline", "guard.csv", "--format", "json")[1].out)
    assert {row["verdict"] for row in found["baseline"]} == {"regression", "unchanged"}
    assert 'failures="1"' in typed("under_test.py:attend", "--baseline", "guard.csv", "--format", "junit")[1].out
    assert "::error" in typed("under_test.py:attend", "--baseline", "guard.csv", "--format", "github")[1].out


@pytest.mark.usefixtures("training")
def test_a_baseline_has_several_attentions(typed):
    text = SOURCE + "\ndef other(query, key, value, mask=None):\n    return attend(query, key, value, mask)\n"
    with open("under_test.py", "w") as file:
        file.write(text)
    for name in ("attend", "other"):
        assert typed(f"under_test.py:{name}", "--baseline", "guard.csv", "--update")[0] == 0
    for name in ("attend", "other"):
        status, printed = typed(f"under_test.py:{name}", "--baseline", "guard.csv")
        assert status == 0
        assert printed.out.count("unchanged") == 4


@pytest.mark.usefixtures("training")
def test_another_build_is_not_compared_with_the_baseline(typed):
    attend = ["under_test.py:attend", "--baseline", "guard.csv"]
    assert typed(*attend, "--build", "attend if 1 else None", "--update")[0] == 0
    assert typed(*attend, "--build", "attend if 1 else None")[0] == 0
    status, printed = typed(*attend, "--build", "attend if 2 else None")
    assert status == 4
    assert "build" in printed.out


@pytest.mark.parametrize("format", ["text", "github"])
@pytest.mark.usefixtures("training")
def test_a_name_begins_no_line_of_its_own(typed, format):
    folder = "a\n::error::x; b=1"
    os.mkdir(folder)
    os.rename("under_test.py", f"{folder}/under_test.py")
    arguments = [f"{folder}/under_test.py:attend", "--baseline", "guard.csv", "--format", format]
    assert typed(*arguments, "--update")[0] == 0
    status, printed = typed(*arguments)
    assert status == 0
    assert not [line for line in printed.out.splitlines() if line.startswith("::error")]


@pytest.mark.usefixtures("training")
def test_an_attention_that_fails_makes_no_baseline(typed):
    status, printed = typed("under_test.py:leaky", "--baseline", "guard.csv", "--update")
    assert status == 3
    assert "a baseline needs an attention that passes; failed: padding" in printed.err
    assert "padding: what stands at masked positions has no influence" in printed.out
    assert not os.path.exists("guard.csv")


def test_a_training_that_the_time_limit_ended_is_neither_kept_nor_compared(typed, training):
    typed("under_test.py:attend", "--baseline", "guard.csv", "--update")
    training["copy"] = replace(TWO, exact_match=(0.1,) * 5, steps_to_95=(None,) * 5, cut=True)
    status, printed = typed("under_test.py:attend", "--baseline", "guard.csv")
    assert status == 0
    assert "copy unchanged" not in printed.out
    assert "reverse unchanged" in printed.out
    status, printed = typed("under_test.py:attend", "--baseline", "other.csv", "--update")
    assert "wrote 2 rows to other.csv" in printed.err


@pytest.mark.parametrize("baseline", [".", "no/where.csv", "edited.csv"])
def test_a_baseline_that_cannot_be_used_is_reported_before_training(typed, monkeypatch, baseline):
    with open("edited.csv", "w") as file:
        file.write("model,score\n1\n")
    monkeypatch.setattr(trained, "train_on", None)
    for options in ([], ["--update"]):
        status, printed = typed("under_test.py:attend", "--baseline", baseline, *options)
        assert status == 2
        assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["under_test.py:nothing"], "under_test has no 'nothing'"),
        (["under_test.py:attend", "--update"], "--update needs --baseline FILE.csv"),
        (["under_test.py:attend", "--no-train", "--baseline", "x.csv"], "keeps the results of the trained part"),
        (["under_test.py:attend", "--width", "31", "--layout", "bhtd"], "unflatten"),
        (["under_test.py:attend", "--longest", "1"], "--longest"),
        (["under_test.py:attend", "--skip", "paddin"], "there is no check 'paddin'"),
        (["under_test.py:attend", "--seed", "1" + 30 * "0"], "--seed"),
        (["under_test.py:attend", "--width", "1" + 30 * "0"], "expected a whole number from 1 to 1000000"),
    ],
)
def test_a_mistake_ends_with_2(typed, arguments, message):
    status, printed = typed(*arguments)
    assert status == 2
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_in_python_it_raises_with_the_report():
    def attend(query, key, value, mask=None):
        del mask
        return (query @ key.mT).softmax(-1) @ value

    with pytest.raises(AssertionError, match=r"padding +FAILED") as failed:
        attnbench.guard(attend, train=False)
    assert "# the attention that was passed to attnbench.guard" in str(failed.value)
    report = attnbench.guard(attend, mask="none", train=False)
    assert report.exit == 0


def test_in_python_it_leaves_everything_as_it_was_and_depends_on_none_of_it():
    """Warnings are errors in this suite; the attention's are none."""

    def attention(query, key, value, mask=None):
        del mask
        warnings.warn("old", UserWarning, stacklevel=2)
        torch.set_default_dtype(torch.float64)
        return (query @ key.mT).softmax(-1) @ value

    def state():
        return torch.random.get_rng_state().tolist(), torch.is_grad_enabled(), torch.get_default_dtype(), sys.path[:]

    torch.set_default_dtype(torch.float64)
    try:
        before = state()
        with torch.no_grad(), pytest.warns(UserWarning, match="old"):
            attnbench.guard(attention, mask="none", train=False, longest=5)
        assert state() == before
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**64}, {"width": 0}, {"heads": 1.5}, {"longest": 1}])
def test_in_python_a_number_out_of_range_is_an_error(options):
    with pytest.raises(attnbench.AttnbenchError, match="expected a whole number"):
        attnbench.guard(torch.nn.functional.scaled_dot_product_attention, **options)
