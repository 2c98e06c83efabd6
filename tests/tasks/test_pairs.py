"""A user's own sentence pairs."""

import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError
from attnbench.tasks.base import PAD, SPECIAL
from attnbench.tasks.build import build_task
from attnbench.tasks.check import check_data
from attnbench.tasks.dictionary import read_dictionary
from attnbench.tasks.fixed_sets import test_set, test_set_at, validation_set
from attnbench.tasks.pairs import UNKNOWN, Pairs, read_pairs
from attnbench.tasks.split import Split, split_of_words
from attnbench.tasks.streams import training_stream
from attnbench.tasks.words import unusable_word
from attnbench.training.batches import words_of

test_set.__test__ = test_set_at.__test__ = False  # their names begin like a test's

TRANSLATE = Component(name="translate")


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def numbered(count, first=0):
    """Pairs of 3, 4 or 5 source words; every source once."""
    return [f"{'a ' * (n % 3)}x{n} b c\tX{n} {'A ' * (n % 4)}B" for n in range(first, first + count)]


def sentences(words, rows):
    return [" ".join(words[n] for n in row if n != PAD) for row in rows]


def pairs_of(task, parts):
    return [
        f"{source}\t{' '.join(words_of(target, task))}"
        for part in parts
        for source, target in zip(sentences(task.source_words, part.source), part.target, strict=True)
    ]


def draw(task, data, steps=200, seeds=(0,)):
    stream = training_stream(task, TRANSLATE, data, seeds, batch_size=16)
    return [stream.batch() for _ in range(steps)]


def test_the_hash_splits_one_file(tmp_path):
    lines = numbered(600)
    data = Data(path=write(tmp_path / "train.tsv", lines))
    task = build_task(TRANSLATE, data)
    trained = {
        sentence
        for batch in draw(task, data, 600)
        for sentence in sentences(task.source_words, batch.source[0].tolist())
    }
    by_side = {split: set() for split in Split}
    for line in lines:
        source = line.split("\t")[0]
        by_side[split_of_words(source.split(" "))].add(source)
    assert trained == by_side[Split.TRAINING]
    # The lines of the other parts are used as well: none is dropped.
    facts = task.facts()
    assert (facts["training_lines"], facts["dropped_training_lines"]) == (len(trained), 0)
    validation, test = (f(task, TRANSLATE, data) for f in (validation_set, test_set))
    assert sum(map(len, validation)) == len(by_side[Split.VALIDATION]) > 10
    assert sum(map(len, test)) == len(by_side[Split.TEST]) > 10
    assert all(part.links is None for part in [*validation, *test, *draw(task, data, 5)])


def test_files_of_their_own_are_used_whole_and_their_sources_are_not_trained_on(tmp_path):
    train, dev, test = numbered(50), numbered(7, 50), numbered(9, 60)
    data = Data(
        path=write(tmp_path / "train.tsv", [*train, dev[2], test[0], "a x61 b c\tanother target"]),
        validation_path=write(tmp_path / "dev.tsv", dev),
        test_path=write(tmp_path / "test.tsv", test),
        test_lengths=(4,),
    )
    task = build_task(TRANSLATE, data)
    assert task.facts()["training_lines"] == 50
    assert task.facts()["dropped_training_lines"] == 3
    trained = {pair for batch in draw(task, data) for pair in pairs_of(task, [_one(batch)])}
    assert trained == set(train)
    # Source words that only dev or test has are <unk>; the target has the original words.
    assert sorted(pairs_of(task, validation_set(task, TRANSLATE, data))) == sorted(_unknown(dev))
    assert sorted(pairs_of(task, test_set(task, TRANSLATE, data))) == sorted(_unknown(test))
    (four,) = test_set_at(task, TRANSLATE, data, 4)
    assert sorted(pairs_of(task, [four])) == sorted(
        _unknown(line for line in test if len(line.split("\t")[0].split()) == 4)
    )
    assert task.source_words[:4] == task.target_words[:4] == [*SPECIAL, UNKNOWN]


def _one(batch):
    return type(batch)(batch.source[0], batch.target[0], None)


def _unknown(lines):
    """The lines with <unk> for the numbered words of their sources."""
    columns = (line.split("\t") for line in lines)
    return [f"{' '.join(UNKNOWN if w[0] == 'x' else w for w in source.split(' '))}\t{t}" for source, t in columns]


def test_unknown_target_words_have_ids_that_no_model_outputs(tmp_path):
    """Also `<unk>` itself, in a validation or test target; in a source and in training it is a word like any other."""
    task = Pairs(
        write(tmp_path / "train.tsv", ["a b\tA B", "c <unk>\tC <unk>"]),
        write(tmp_path / "dev.tsv", ["a c z\tA Z <unk>"]),
        write(tmp_path / "test.tsv", ["b z a y\tB Y Y Z"]),
    )
    assert task.target_words == [*SPECIAL, UNKNOWN, "A", "B", "C"]
    assert task.unknown_words == ["<unk>", "Y", "Z"]
    (dev,) = task.held_out(Split.VALIDATION, range(9), 9, np.random.default_rng(0))
    (test,) = task.held_out(Split.TEST, range(9), 9, np.random.default_rng(0))
    assert dev.target.tolist() == [[4, -3, -1]]
    assert test.target.tolist() == [[5, -2, -2, -3]]
    assert [task.source_words[n] for n in test.source[0]] == ["b", UNKNOWN, "a", UNKNOWN]
    trained = task.generate(np.random.default_rng(0), 2, 50)
    assert trained.target.min() >= 3
    assert (trained.target == 3).any()
    assert task.facts() == {
        "training_lines": 2,
        "dropped_training_lines": 0,
        "dropped_validation_lines": 0,
        "test_lines": 1,
        "unknown_source_words_validation": 1 / 3,
        "unknown_target_words_validation": 2 / 3,
        "unknown_source_words_test": 2 / 4,
        "unknown_target_words_test": 3 / 4,
        "differently_composed_words_validation": 0,
        "differently_composed_words_test": 0,
    }


def test_words_that_differ_in_their_unicode_form_alone_are_counted(tmp_path):
    """NFD, as macOS once stored file names: é is an e and an accent."""
    task = Pairs(
        write(tmp_path / "train.tsv", ["caf\u00e9 noir\tbr\u00fbl\u00e9 x"]),
        write(tmp_path / "dev.tsv", ["noir\tx"]),
        write(tmp_path / "test.tsv", ["cafe\u0301 bleu\tbru\u0302le\u0301 x"]),
    )
    facts = task.facts()
    assert facts["unknown_source_words_test"] == 1
    assert facts["differently_composed_words_test"] == 2 / 4
    assert facts["differently_composed_words_validation"] == 0


def test_no_advice_to_change_lengths_that_the_grid_may_not_set(tmp_path):
    """The lengths of sentence pairs are those of the files."""
    path = write(tmp_path / "train.tsv", [f"a b w{n}\tx" for n in range(12)])
    test = write(tmp_path / "test.tsv", ["q r s\tt"])
    for data, hint in [
        (Data(path=path), "add pairs (about 5% of the lines are for test), or set data.test_path"),
        (Data(path=path, validation_path=test, test_path=test, min_length=4), "add training pairs of these lengths"),
    ]:
        with pytest.raises(AttnbenchError) as raised:
            check_data(TRANSLATE, data)
        assert [problem.hint for problem in raised.value.problems] == [hint]


def test_lines_are_dropped_if_another_part_has_their_source(tmp_path):
    lines = [f"{word} {n}\t{n}" for word in "abcdefgh" for n in range(40)]
    by_hash = {split: [s for s in lines if split_of_words(s.split("\t")[0].split(" ")) == split] for split in Split}
    tested = [*by_hash[Split.TRAINING][:4], *by_hash[Split.VALIDATION][:3], *by_hash[Split.TEST][:2], "new\tn"]
    # Twice in the training file: two lines are dropped.
    path = write(tmp_path / "train.tsv", [*lines, by_hash[Split.TRAINING][0]])
    facts = Pairs(path, None, write(tmp_path / "test.tsv", tested)).facts()
    validated = len(by_hash[Split.VALIDATION]) - 3
    assert facts["dropped_validation_lines"] == 3
    assert facts["dropped_training_lines"] == 5 + 3 + 2
    assert facts["training_lines"] == len(lines) + 1 - 10 - validated


def test_lengths_come_as_often_as_they_have_lines_and_only_from_the_trained_range(tmp_path):
    lines = [f"{n} b c\tA" for n in range(300)] + [f"{n} b c d\tA" for n in range(100)] + ["a b c d e\tA"] * 50
    data = Data(path=write(tmp_path / "train.tsv", lines), max_length=4)
    batches = draw(build_task(TRANSLATE, data), data, steps=2000)
    lengths = np.array([batch.source.shape[-1] for batch in batches])
    assert set(lengths) == {3, 4}
    assert (lengths == 3).mean() == pytest.approx(0.75, abs=0.05)


def test_replicas_share_lengths_and_not_lines(tmp_path):
    data = Data(path=write(tmp_path / "train.tsv", numbered(500)))
    task = build_task(TRANSLATE, data)
    for alone, both in zip(draw(task, data, 30, (4,)), draw(task, data, 30, (9, 4)), strict=True):
        assert np.array_equal(alone.source[0], both.source[1])
        assert not np.array_equal(both.source[0], both.source[1])


def test_held_out_lines_are_capped_at_the_number_of_examples(tmp_path):
    files = {
        f"{key}path": write(tmp_path / f"{key}.tsv", numbered(90, n))
        for n, key in ((0, ""), (100, "validation_"), (200, "test_"))
    }
    data = Data(**files, validation_examples=20, test_examples=30)
    task = build_task(TRANSLATE, data)
    sizes = [len(part) for part in test_set(task, TRANSLATE, data)]
    assert sum(map(len, validation_set(task, TRANSLATE, data))) == 20
    assert sum(sizes) == 30
    assert len(sizes) == 3
    assert len(test_set_at(task, TRANSLATE, data, 4)[0]) == 30


def test_only_spaces_separate_tokens(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes("\ufeffa  b \t« c »\r\nd\te\n".replace("« c »", "«\u00a0c\u00a0»").encode())
    first, second = read_pairs(path)
    assert first.source == ("a", "b")
    assert first.target == ("«\u00a0c\u00a0»",)
    assert (second.source, second.target) == (("d",), ("e",))


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b"a\tb\nno tab here\nc\td\n", ":2", "expected 2 columns, found 1: 'no tab here'"),
        (b"a\tb\tc\n", ":1", "expected 2 columns, found 3: 'a\\tb\\tc'"),
        (b"a\tb\n\tb\n", ":2", "the source is empty: '\\tb'"),
        (b"a\tb\na\t \n", ":2", "the target is empty: 'a\\t '"),
        (b"a\tb\n\nc\td\n", ":2", "this line is empty"),
        (b"a\tb\n\xff\tb\n", ":2", "this line is not UTF-8: b'\\xff\\tb'"),
        (b"a </s>\tb\n", ":1", "the word '</s>' is reserved"),
        (b"a\tb\nc a\0 d\tb\n", ":2", "source word 2 contains a NUL character: 'a\\x00'"),
        (b"c d\tb b\0b\n", ":1", "target word 2 contains a NUL character: 'b\\x00b'"),
        (b"\0\tb\n", ":1", "source word 1 contains a NUL character: '\\x00'"),
        (b"", "", "no sentence pairs in this file"),
    ],
)
def test_a_bad_line_is_shown_with_its_number(tmp_path, content, where, what):
    path = tmp_path / "train.tsv"
    path.write_bytes(content)
    with pytest.raises(AttnbenchError) as raised:
        read_pairs(path)
    (problem,) = raised.value.problems
    assert problem.where == f"{path}{where}"
    assert what in problem.what


def test_the_words_of_a_task_must_be_strings_that_are_not_empty_and_have_no_nul():
    assert unusable_word([*SPECIAL, "a", " ", "«\u00a0»"]) is None
    assert unusable_word([*SPECIAL, "a", ""]) == "word 5 is empty"
    assert unusable_word(["a", "b\0"]) == "word 2 contains a NUL character: 'b\\x00'"
    assert unusable_word(["a", 3]) == "word 2 is not a string: 3"


def test_many_bad_lines_are_counted(tmp_path):
    path = write(tmp_path / "train.tsv", ["no tab"] * 13)
    with pytest.raises(AttnbenchError) as raised:
        read_pairs(path)
    assert len(raised.value.problems) == 11
    assert "and 3 more lines" in str(raised.value)


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(AttnbenchError, match="No such file"):
        Pairs(str(tmp_path / "nowhere.tsv"))
    path = write(tmp_path / "train.tsv", ["a b c\tA"])
    with pytest.raises(AttnbenchError, match="no training pairs are left"):
        Pairs(path, None, path)


def test_lengths_that_no_line_has(tmp_path):
    path = write(tmp_path / "train.tsv", numbered(40))
    test_path = write(tmp_path / "test.tsv", ["q r s\tT"])
    files = {"path": path, "validation_path": write(tmp_path / "dev.tsv", numbered(5, 50)), "test_path": test_path}
    check_data(TRANSLATE, Data(**files))
    for fields, message in [
        ({"min_length": 8, "max_length": 9}, "no training source has 8 to 9 words; the lengths found are 3 to 5"),
        ({"min_length": 4}, "test.tsv has no test source of 4 to 10 words"),
        ({"test_lengths": (4,)}, "test.tsv has no test source of 4 words"),
    ]:
        with pytest.raises(AttnbenchError, match=message):
            check_data(TRANSLATE, Data(**files, **fields))


def test_weights_are_not_chosen_on_test_sources(tmp_path):
    """With a test file alone, validation is split off the training file: less the sources that are tested."""
    lines = [f"{word} {n}\t{n}" for word in "abcdefgh" for n in range(40)]
    path = write(tmp_path / "train.tsv", lines)
    test = write(tmp_path / "test.tsv", lines[::2])
    task = Pairs(path, None, test)
    data = Data(path=path, test_path=test, min_length=2, max_length=2)
    component = Component(name="translate")
    held = [validation_set(task, component, data), test_set(task, component, data)]
    validated, tested = ({tuple(row) for part in side for row in part.source.tolist()} for side in held)
    assert validated
    assert not validated & tested


@pytest.mark.parametrize("read", [read_pairs, read_dictionary])
def test_a_long_line_that_is_not_text_is_shown_in_part(read, tmp_path):
    (tmp_path / "own.npz").write_bytes(b"\xff" * 5000)
    with pytest.raises(AttnbenchError, match="this line is not UTF-8") as error:
        read(tmp_path / "own.npz")
    assert len(str(error.value)) < 600
