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


FORWARD = """
    def forward(self, source, lengths, previous):
        memory, (last, carried) = self.encode(source, lengths)
        query = torch.tanh(self.advance(torch.cat([last.unsqueeze(1).expand(-1, previous.shape[1], -1),
                                                   self.target(previous)], dim=-1)))
        read = self.attention.read(query, memory, 0, state=carried)
        both = torch.cat([query, read.context], dim=-1)
        return attnbench.Output(self.readout(both), read.weights)
"""
# A score and a scope that depend on the previous step, and a model that does not pass on what they carry.
WITHOUT_STATE = {
    "nothing": (
        ("self.attention.read(new.unsqueeze(1), memory, index, state=carried)",
         "self.attention.read(new.unsqueeze(1), memory, index)"),
        "this attention needs the state of the previous step, and got none at step 1: pass state",
    ),
    "nothing, and no step": (
        ("self.attention.read(new.unsqueeze(1), memory, index, state=carried)",
         "self.attention.read(new.unsqueeze(1), memory)"),
        "gives its attention no state at step 1",
    ),
    "the first state at every step": (
        ("return (both, read.state)", "return (both, carried)"),
        "gives its attention at step 1 the state that it gave at step 0: carry read.state",
    ),
    "another forward": (
        ("        return (both, read.state), self.readout(both), read.weights.squeeze(1)\n",
         "        return (both, read.state), self.readout(both), read.weights.squeeze(1)\n" + FORWARD),
        "returns other weights from forward than from its steps, one after the other",
    ),
}  # fmt: skip


def outcome_of(code: str, folder: Path, scope: str = "global", score: str = "additive"):
    file = folder / "mine.py"
    file.write_text(code)
    described = pack((0, 1), score, scope).model_copy(update={"plugins": (file,)})
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


@pytest.mark.parametrize(("score", "scope"), [("location_conv", "global"), ("gmm", "global"), ("dot", "monotonic")])
def test_a_model_that_carries_the_state_of_its_attention_is_trained(tmp_path, score, scope):
    assert outcome_of(SOUND, tmp_path, scope, score).error is None


@pytest.mark.parametrize(
    ("score", "scope", "mistake"),
    [
        *(("location_conv", "global", mistake) for mistake in WITHOUT_STATE),
        ("dot", "monotonic", "nothing"),
        ("dot", "monotonic", "nothing, and no step"),
    ],
)
def test_a_model_that_does_not_carry_the_state_of_its_attention_is_not_trained(tmp_path, mistake, score, scope):
    (right, wrong), message = WITHOUT_STATE[mistake]
    assert right in SOUND
    found = outcome_of(SOUND.replace(right, wrong), tmp_path, scope, score)
    assert found.status == "failed"
    assert message in found.error


@pytest.mark.parametrize("mistake", WITHOUT_STATE)
def test_such_a_model_is_trained_where_nothing_is_carried(tmp_path, mistake):
    right, wrong = WITHOUT_STATE[mistake][0]
    assert outcome_of(SOUND.replace(right, wrong), tmp_path).status == "done"


def test_a_score_that_adds_to_the_loss_is_not_trained_without_it(tmp_path):
    found = outcome_of(SOUND, tmp_path, score="coverage")
    assert found.status == "failed"
    assert "its score adds to the loss" in found.error


def test_a_score_that_adds_to_the_loss_is_trained_with_it(tmp_path):
    objective = """
    def objective(self, output, log_likelihood, lengths, target_mask):
        loss = super().objective(output, log_likelihood, lengths, target_mask)
        return loss + self.attention.penalty(output.weights, target_mask)
"""
    assert outcome_of(SOUND + objective, tmp_path, score="coverage").error is None
