"""The provenance of a run: what is noted when, and that a damaged file harms nothing."""

import json
import os
import shutil
import subprocess

import pytest

from attnbench.store.atomic import sealed, write_json
from attnbench.store.git_revision import git_revision
from attnbench.store.provenance import PROVENANCE, Provenance, current, note, read

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def entry(**changes):
    values = {
        "date": "2026-01-31T12:00:00Z",
        "attnbench": "0.1.0",
        "git": None,
        "python": "3.12.3",
        "system": "Linux x86_64",
        "cpu": "Some CPU",
        "cores": 2,
        "engine": "serial",
        "cells": 3,
    }
    return Provenance(**(values | changes))


def test_entries_are_added_in_their_order(tmp_path):
    assert read(tmp_path) == []
    note(tmp_path, entry())
    note(tmp_path, entry(cells=4, git="0123"))
    assert read(tmp_path) == [entry(), entry(cells=4, git="0123")]


@pytest.mark.parametrize(
    "content",
    ["", "nothing", "[]", "{}", '{"trained": 3}', '{"trained": [{}]}', '{"trained": [["date"]]}', "[" * 10**5],
    ids=["empty", "text", "list", "mapping", "number", "keys", "no-mapping", "deep"],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path, content):
    (tmp_path / PROVENANCE).write_text(content)
    assert read(tmp_path) == []
    note(tmp_path, entry())
    assert read(tmp_path) == [entry()]


def test_an_edited_file_counts_as_none(tmp_path):
    note(tmp_path, entry())
    file = tmp_path / PROVENANCE
    file.write_text(file.read_text().replace("Some CPU", "Faster CPU"))
    assert read(tmp_path) == []
    file.write_text(json.dumps({"trained": [entry().model_dump()]}))
    assert read(tmp_path) == []  # without a digest
    file.write_text(json.dumps(sealed({"trained": [entry().model_dump() | {"cores": "many"}]})))
    assert read(tmp_path) == []


def test_what_is_not_a_file_counts_as_none(tmp_path):
    os.mkfifo(tmp_path / PROVENANCE)
    assert read(tmp_path) == []
    (tmp_path / PROVENANCE).unlink()
    (tmp_path / PROVENANCE).mkdir()
    assert read(tmp_path) == []


def test_the_present_is_complete(tmp_path):
    now = current(tmp_path, "0.1.0", "serial", 2, 6)
    assert (now.attnbench, now.engine, now.cores, now.cells) == ("0.1.0", "serial", 2, 6)
    assert now.cpu
    assert now.date.endswith("Z")
    note(tmp_path, now)
    assert read(tmp_path) == [now]


@pytest.fixture
def git(tmp_path):
    """`git(arguments)` runs git in the folder, and gives what it prints."""
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")

    def run(*arguments):
        command = ["git", "-C", tmp_path, *settings, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return run


@needs_git
def test_the_git_revision_is_that_of_the_repository_of_the_folder(tmp_path, git):
    git("init", "-q")
    assert git_revision(tmp_path) is None  # without a commit
    (tmp_path / "grid.yaml").write_text("one")
    git("add", "grid.yaml")
    git("commit", "-qm", "one")
    revision = git("rev-parse", "HEAD")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "untracked").touch()
    assert git_revision(tmp_path) == revision
    assert git_revision(tmp_path / "results") == revision
    (tmp_path / "grid.yaml").write_text("two")
    assert git_revision(tmp_path) == f"{revision}-dirty"


@needs_git
@pytest.mark.parametrize("name", ["plain", "a=b", "a.b"])
@pytest.mark.parametrize("kind", ["clean", "process"])
def test_no_program_that_the_repository_names_is_executed(tmp_path, git, name, kind, monkeypatch):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\ncat\n")
    program.chmod(0o755)
    (tmp_path / ".gitattributes").write_text(f"*.yaml filter={name}\n")
    (tmp_path / "grid.yaml").write_text("one")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    revision = git("rev-parse", "HEAD")
    git("config", f"filter.{name}.{kind}", str(program))
    git("config", f"filter.{name}.required", "true")
    git("config", "core.fsmonitor", str(program))
    (tmp_path / "grid.yaml").write_text("two")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    assert git_revision(tmp_path) == f"{revision}-dirty"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("changed", [{"git": "0123; touch x"}, {"git": "--orphan"}, {"attnbench": "1\ntouch x"}])
def test_what_is_no_revision_or_version_counts_as_none(tmp_path, changed):
    """The report quotes both in commands, and the folder may be somebody else's."""
    content = {"trained": [entry().model_dump() | changed]}
    write_json(tmp_path / PROVENANCE, sealed(content))
    assert read(tmp_path) == []


def test_without_git_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path) is None
