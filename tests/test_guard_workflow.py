"""docs/ci/guard.yml is a workflow that works: its command is run here on the attention of docs/guard.md."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
(JOB,) = yaml.safe_load((ROOT / "docs" / "ci" / "guard.yml").read_text())["jobs"].values()


def test_its_command_annotates_a_fault(tmp_path):
    page = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
    source = re.search(r"```python\n# my_attention.py\n(.*?)```", page, re.DOTALL)[1]
    (command,) = [step["run"] for step in JOB["steps"] if "attnbench guard" in step.get("run", "")]
    (tmp_path / "attnbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m attnbench "$@" --no-train\n')
    (tmp_path / "attnbench").chmod(0o755)
    paths = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment = os.environ | paths | {name: str(value) for name, value in JOB["env"].items()}
    for fault, status in ((False, 0), (True, 3)):
        text = source.replace("logits.masked_fill(~mask", "logits.masked_fill(mask") if fault else source
        (tmp_path / "my_attention.py").write_text(text)
        ended = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == status, ended.stderr
        assert ("::error title=attnbench guard my_attention.py%3AMyAttention%3A padding::" in ended.stdout) == fault
