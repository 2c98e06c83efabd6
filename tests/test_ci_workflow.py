"""docs/ci/github.yml is a workflow that works: its attnbench commands are run here, in a shell, on a small grid."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

WORKFLOW = Path(__file__).parents[1] / "docs" / "ci" / "github.yml"
TEXT = WORKFLOW.read_text()
PARSED = yaml.safe_load(TEXT)
(JOB,) = PARSED["jobs"].values()
STEPS = JOB["steps"]
GRID = "name: ci\nseeds: 5\ngrid: {score: [dot], task: [copy]}\ntrain: {steps: 4, valid_every: 2}\n"


def commands() -> list[str]:
    return [step["run"] for step in STEPS if "attnbench " in step.get("run", "")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A repository with a grid."""
    made = tmp_path_factory.mktemp("repository")
    (made / "ci.yaml").write_text(GRID)
    return made


@pytest.fixture(scope="module")
def shell(folder):
    """Runs a line as the runner does, with `attnbench` on the path; the baseline is made as the workflow's top says."""
    bin_ = folder / "bin"
    bin_.mkdir()
    root = WORKFLOW.parents[2]
    (bin_ / "attnbench").write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -P -m attnbench "$@"\n', encoding="utf-8"
    )
    (bin_ / "attnbench").chmod(0o755)

    def run(line: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | JOB["env"] | {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
        options = ["-e", "-o", "pipefail", "-c", line]
        return subprocess.run(["bash", *options], cwd=folder, env=env, capture_output=True, text=True)

    train, baseline = re.findall(r"^#   (attnbench .*)", TEXT, re.MULTILINE)
    for line in (train, f"{baseline} --metric loss"):
        done = run(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    return run


def test_it_has_every_part_of_a_workflow():
    assert {"name", "permissions", "jobs"} <= PARSED.keys()
    assert True in PARSED, "YAML 1.1 reads the key `on` as true"
    used = [step["uses"].partition("@") for step in STEPS if "uses" in step]
    names = ["checkout", "setup-python", "cache", "upload-artifact"]
    assert [action for action, _, _ in used] == [f"actions/{name}" for name in names]
    assert all(re.fullmatch(r"v\d+", version) for _, _, version in used)
    by_name = {step["uses"].split("@")[0]: step["with"] for step in STEPS if "with" in step}
    assert by_name["actions/setup-python"]["cache"] == "pip"
    assert by_name["actions/cache"]["path"] == "results"
    assert by_name["actions/upload-artifact"]["path"].split() == ["accuracy.xml", "report.html"]
    assert [line for line in TEXT.splitlines() if line.startswith("      - ") and "\t" in line] == []


def test_the_cache_is_of_the_same_code_alone():
    (cache,) = [step["with"] for step in STEPS if step.get("uses", "").startswith("actions/cache")]
    assert "restore-keys" not in cache, "results of other code would be compared in place of this one's"
    assert all(pattern in cache["key"] for pattern in ("versions.txt", "**/*.py", "**/*.yaml"))


def test_what_a_user_changes_is_marked():
    names = [line.split("#")[0].split(":")[0].strip() for line in TEXT.splitlines() if "# change:" in line]
    assert {"GRID", "NAME", "BASELINE", "ATTNBENCH"} <= set(names)
    assert set(JOB["env"]) <= set(names)


def test_the_commands_pass_on_the_baseline_and_fail_on_a_fallen_accuracy(shell, folder):
    first, check, report = commands()
    for line in (first, check, report):
        done = shell(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert (folder / "report.html").read_text().startswith("<!")
    assert 'failures="0"' in (folder / "accuracy.xml").read_text()
    baseline = folder / JOB["env"]["BASELINE"]
    baseline.write_text(re.sub(r"(?<=,0 1 2 3 4,)[^,]*", "0.1 0.1 0.1 0.1 0.1", baseline.read_text()))
    done = shell(check)
    assert done.returncode == 3
    assert "::error file=baseline.csv" in done.stdout
    assert 'failures="1"' in (folder / "accuracy.xml").read_text()


def test_failed_cells_are_left_to_the_check_and_a_wrong_grid_is_not(shell, folder):
    first, check, _ = commands()
    (folder / "ci.yaml").write_text(GRID.replace("steps: 4", "steps: 4, timeout: 0.001"))
    shutil.rmtree(folder / "results")
    assert shell(first).returncode == 0
    assert ",failed," in (folder / "results/ci/table.csv").read_text()
    assert shell(check).returncode == 3
    (folder / "ci.yaml").write_text(GRID.replace("dot", "dto"))
    assert shell(first).returncode != 0
