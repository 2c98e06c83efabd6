"""The message for a mistake in a user's model: what is wrong, with file and line, before anything is trained."""

import re
from pathlib import Path

import pytest
from small_packs import pack

from attnbench.engines.base import attempt

PAGE = (Path(__file__).parents[2] / "docs/own-parts.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SOUND = next(block for block in BLOCKS if "@attnbench.model" in block)
STEP = "        new = torch.tanh"
MISTAKES = {
    "no step": (("def step(", "def stop("), "abstract method step"),
    "not a Seq2Seq": (("attnbench.Seq2Seq", "nn.Module"), "is not a subclass of attnbench.Seq2Seq"),
    "logits": (
        ("self.readout(both), read", "self.readout(both).unsqueeze(1), read"),
        "returned (2, 1, 9) for the logits",
    ),
    "weights": (("read.weights.squeeze(1)", "read.weights"), "returned (2, 1, 4) for the weights of step"),
    "two values": (
        (", read.weights.squeeze(1)", ""),
        "step should return state, logits, weights; it returned 2 values",
    ),
    "heads": (
        ("self.width = width", "self.width, self.alignment_heads = width, 2"),
        "returned NoneType for Output.heads",
    ),
    "a condition": (
        (STEP, "        if previous.sum() > 0: pass\n" + STEP),
        "all seeds run as one model: use torch.where",
    ),
    "a name": (("(self, source_vocabulary, ", "(self, "), "NameError: name 'source_vocabulary' is not defined"),
    "a width": (("attention(width)", "attention(width + 1)"), "cannot be trained: it raised RuntimeError"),
}


def outcome_of(code: str, folder: Path, scope: str = "global"):
    file = folder / "mine.py"
    file.write_text(code)
    described = pack((0, 1), "additive", scope).model_copy(update={"plugins": (file,)})
    model = described.cell.model.model_copy(update={"name": "wordwise", "options": {"width": 8}})
    described = described.model_copy(update={"cell": described.cell.model_copy(update={"model": model})})
    return attempt(described, "cpu", "attnbench.training.train:train", lambda _: None)[0]


def test_a_sound_model_is_trained(tmp_path):
    assert outcome_of(SOUND, tmp_path).status == "done"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported(mistake, tmp_path):
    (right, wrong), message = MISTAKES[mistake]
    assert right in SOUND
    found = outcome_of(SOUND.replace(right, wrong), tmp_path)
    assert found.status == "failed"
    assert found.error.startswith(f"{tmp_path / 'mine.py'}:")
    assert message in found.error
    assert "docs/own-parts.md" in found.error


def test_the_place_is_the_line_that_raised(tmp_path):
    code = SOUND.replace(STEP, "        1 / 0\n" + STEP)
    line = code[: code.index("1 / 0")].count("\n") + 1
    assert outcome_of(code, tmp_path).error.startswith(f"{tmp_path / 'mine.py'}:{line}: ")


def test_a_scope_with_an_objective_of_its_own_is_not_trained_without_it(tmp_path):
    found = outcome_of(SOUND, tmp_path, "hard")
    assert found.status == "failed"
    assert "attention.objective" in found.error
