"""A user's own images: what is read, how it is divided, and what is told of a file that is not right."""

import io
import re
import zipfile

import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError
from attnbench.tasks import image_file
from attnbench.tasks.base import PAD
from attnbench.tasks.build import build_task
from attnbench.tasks.caption import Caption
from attnbench.tasks.draw import draw
from attnbench.tasks.fixed_sets import test_set, validation_set
from attnbench.tasks.image_file import images_digest, read_images
from attnbench.tasks.image_pairs import ImagePairs
from attnbench.tasks.split import Split
from attnbench.tasks.streams import training_stream

test_set.__test__ = False  # its name begins like a test's


def arrays(count=200, seed=0, links=True, letters="abcd"):
    """Images of 16 × 24 pixels, six patches, with one to three words; word t is in patch t."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 4, count)
    words = np.array([[random.choice(list(letters)) if t < n else "" for t in range(3)] for n in lengths])
    sure = np.zeros((count, 3, 6), bool)
    for n, length in enumerate(lengths):
        sure[n, range(length), range(length)] = True
    found = {"images": random.integers(0, 256, (count, 16, 24), dtype=np.uint8), "words": words}
    return found | ({"links": sure, "possible": np.roll(sure, 1, axis=2)} if links else {})


@pytest.fixture
def saved(tmp_path):
    def save(content, name="images.npz", pack=np.savez):
        pack(tmp_path / name, **content)
        return str(tmp_path / name)

    return save


def data(path, **more):
    return Data(path=path, min_length=1, max_length=3, validation_examples=50, test_examples=50, **more)


def test_it_is_read_as_it_is_written(saved):
    content = arrays()
    found = read_images(saved(content))
    assert np.array_equal(found.images, content["images"].astype(np.float32) / np.float32(255))
    assert [list(words) for words in found.words] == [[word for word in row if word] for row in content["words"]]
    assert np.array_equal(found.links, content["links"])
    assert np.array_equal(found.possible, content["links"] | content["possible"])


def test_floats_stay_as_they_are(saved):
    content = arrays() | {"images": np.random.default_rng(0).random((200, 16, 24))}
    assert np.array_equal(read_images(saved(content)).images, content["images"].astype(np.float32))


def test_every_image_is_in_one_part_with_its_own_words_and_links(saved):
    content = arrays(2000)
    task = build_task(Component(name="caption", options={}), data(saved(content)))
    by_image = {image.tobytes(): n for n, image in enumerate(read_images(saved(content)).images)}
    assert isinstance(task, ImagePairs)
    assert task.image_size == (16, 24)
    seen: dict[Split, set[int]] = {}
    for split in Split:
        seen[split] = set()
        parts = [task.training(n) for n in (1, 2, 3)] if split == Split.TRAINING else _held(task, split)
        for examples in parts:
            for source, target, links, possible in zip(
                examples.source, examples.target, examples.links, examples.possible, strict=True
            ):
                n = by_image[source.tobytes()]
                seen[split].add(n)
                words = [word for word in content["words"][n] if word]
                assert [task.target_words[i] for i in target] == words
                assert np.array_equal(links, content["links"][n, : len(words)])
                assert np.array_equal(possible, (content["links"] | content["possible"])[n, : len(words)])
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 2000
    assert 0.03 < len(seen[Split.TEST]) / 2000 < 0.07
    assert task.facts()["training_images"] == len(seen[Split.TRAINING])


def _held(task, split):
    return task.held_out(split, range(1, 4), 10_000, np.random.default_rng(0))


def test_images_of_own_test_and_validation_files_are_not_trained_on(saved):
    content = arrays(300)
    test = {name: array[:40] for name, array in content.items()}
    valid = {name: array[20:90] for name, array in content.items()}
    task = ImagePairs(saved(content), saved(valid, "valid.npz"), saved(test, "test.npz"))
    facts = task.facts()
    assert (facts["test_images"], facts["validation_images"], facts["training_images"]) == (40, 50, 210)
    assert facts["dropped_training_images"] == 90


def test_words_that_no_training_image_has_count_as_errors(saved):
    rare = arrays(30, seed=1, letters="z")
    task = ImagePairs(saved(arrays()), saved(arrays(20, seed=2), "valid.npz"), saved(rare, "test.npz"))
    assert task.unknown_words == ["z"]
    assert task.facts()["unknown_target_words_test"] == 1.0
    targets = [examples.target for examples in _held(task, Split.TEST)]
    assert all(((target == -1) | (target == PAD)).all() for target in targets)


def test_batches_are_full_and_of_images(saved):
    component, settings = Component(name="caption", options={}), data(saved(arrays()))
    task = build_task(component, settings)
    stream = training_stream(task, component, settings, (0, 1), 8)
    for _ in range(12):
        batch = stream.batch()
        assert batch.source.shape == (2, 8, 16, 24)
        assert batch.links.shape == (*batch.target.shape, 6)
    assert sum(map(len, validation_set(task, component, settings))) > 0
    assert sum(map(len, test_set(task, component, settings))) > 0


def test_the_digest_is_that_of_the_content(saved, tmp_path):
    content = arrays(20)
    first, again = saved(content), saved(content, "again.npz", np.savez_compressed)
    assert images_digest(first) == images_digest(again) == Caption.digest(first)
    for name in content:
        changed = content[name].copy()
        if name == "words":
            changed[0, 0] = "b" if changed[0, 0] == "a" else "a"
        elif name == "possible":
            changed[:] = False
        else:
            changed.flat[0] = ~changed.flat[0]
        other = saved(content | {name: changed}, f"other_{name}.npz")
        assert images_digest(other) != images_digest(first), name
    (tmp_path / "none.npz").write_bytes(b"nothing")
    assert len(images_digest(tmp_path / "none.npz")) == 64


def test_a_custom_task_of_images_is_split_by_their_hash():
    class Grey:
        images, image_size = True, (8, 8)
        source_words, target_words = ["<pad>", "<bos>", "</s>"], ["<pad>", "<bos>", "</s>", "a"]

        def check(self, _):
            return None

        def generate(self, random, length, count):
            from attnbench.tasks.base import Examples

            grey = random.integers(40, size=(count, 1, 1)) / np.float32(40)
            return Examples(np.broadcast_to(grey, (count, 8, 8)).astype(np.float32), np.full((count, length), 3), None)

    random = np.random.default_rng(0)
    shown = {split: {float(image[0, 0]) for image in draw(Grey(), random, 2, 300, split).source} for split in Split}
    assert len(shown[Split.TRAINING]) > 30
    assert not shown[Split.TRAINING] & (shown[Split.VALIDATION] | shown[Split.TEST])


def with_(**changed):
    return {name: array for name, array in (arrays(6) | changed).items() if array is not None}


NOT_FINITE = np.zeros((6, 16, 24))
NOT_FINITE[2, 3, 4] = np.nan
WORDS = arrays(6)["words"]
GAP, NOTHING, BLANK, RESERVED = WORDS.copy(), WORDS.copy(), WORDS.copy(), WORDS.copy().astype("U9")
GAP[1] = ["", "a", ""]
NOTHING[3] = ""
BLANK[2, 0] = "\u2003"  # an em space
RESERVED[0, 0] = "</s>"
FAR = arrays(6)["links"].copy()
FAR[WORDS == ""] = True


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_(words=None), "has no array 'words'"),
        (with_(labels=np.zeros(6)), "has an unknown array 'labels'"),
        (with_(images=np.zeros((6, 16))), r"images: has the shape \(6, 16\), expected \(N,H,W\)"),
        (with_(images=np.zeros((6, 16, 20), np.uint8)), r"are 16 × 20 pixels, and a patch has 8 × 8"),
        (with_(images=np.zeros((6, 16, 24), np.int64)), "are of type int64, expected uint8"),
        (with_(images=NOT_FINITE), "image 2 has values that are not numbers"),
        (with_(images=np.full((6, 16, 24), 3.5)), "have values from 3.5 to 3.5, expected 0 to 1"),
        (with_(words=np.zeros((6, 3))), r"words: are of type float64 and shape \(6, 3\), expected text"),
        (with_(words=GAP), "image 1 has an empty word before its last one"),
        (with_(words=NOTHING, links=None, possible=None), "image 3 has no words"),
        (with_(words=BLANK), r"image 2 has a word that is only white space: '\\u2003'"),
        (with_(words=RESERVED), "image 0 has the reserved word '</s>'"),
        (with_(words=WORDS[:5], links=None, possible=None), "has 6 images and the words of 5"),
        (with_(links=np.zeros((6, 3, 5), bool)), r"links: has the shape \(6, 3, 5\), expected \(6, 3, 6\)"),
        (with_(links=np.zeros((6, 3, 6))), "links: are of type float64, expected bool"),
        (with_(links=FAR), "has a link of a word that it does not have"),
        (with_(links=None), "has possible links without the sure ones"),
        (with_(words=np.array([["a"]] * 6, dtype=object), links=None, possible=None), "an array of Python objects"),
    ],
)
def test_a_file_that_is_not_right_is_an_error_that_says_what_and_where(content, message, saved):
    path = saved(content)
    with pytest.raises(AttnbenchError, match=message) as error:
        read_images(path)
    assert path in str(error.value)


def test_other_files_are_errors(tmp_path):
    (tmp_path / "text.npz").write_text("a b\tc")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name, message in (
        ("text.npz", "is not an .npz file"),
        ("one.npz", "is not an .npz file"),
        ("none.npz", "cannot read"),
    ):
        with pytest.raises(AttnbenchError, match=message):
            read_images(tmp_path / name)


def test_archives_that_numpy_cannot_unpack_are_errors(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    for name, content, message in (
        ("text.npz", b"no array", "has a file 'images' that is not an array"),
        ("huge.npz", header.getvalue(), "is not an .npz file that NumPy can read: Unable to allocate"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("images.npy", content)
            archive.writestr("words.npy", content)
        with pytest.raises(AttnbenchError, match=message):
            read_images(tmp_path / name)
    encrypted = bytearray((tmp_path / "text.npz").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # of each member, and in the table of contents
        start = 0
        while (start := encrypted.find(signature, start)) >= 0:
            encrypted[start + flags] |= 1
            start += 1
    (tmp_path / "encrypted.npz").write_bytes(encrypted)
    with pytest.raises(AttnbenchError, match=r"File 'images\.npy' is encrypted"):
        read_images(tmp_path / "encrypted.npz")


def test_files_that_differ_are_errors(saved):
    path = saved(arrays())
    larger = arrays(20) | {"images": np.zeros((20, 16, 16), np.uint8), "links": np.zeros((20, 3, 4), bool)}
    del larger["possible"]
    with pytest.raises(AttnbenchError, match=re.escape(f"has images of 16 × 16 pixels, and {path} of 16 × 24")):
        ImagePairs(path, None, saved(larger, "larger.npz"))
    with pytest.raises(AttnbenchError, match=f"has no links, unlike {re.escape(path)}"):
        ImagePairs(path, saved(arrays(20, links=False), "plain.npz"))
    with pytest.raises(AttnbenchError, match="no training images are left"):
        ImagePairs(path, path, path)


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused_before_it_is_unpacked(saved, monkeypatch):
    content = {"images": np.zeros((50, 64, 64), np.uint8), "words": np.array([["a"]] * 50)}
    path = saved(content, pack=np.savez_compressed)
    read_images(path)
    monkeypatch.setattr(image_file, "MOST_BYTES", 200_000)
    image_file._read.cache_clear()
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(AttnbenchError, match=r"has arrays of 20\d,\d{3} bytes, and 200,000 are allowed"):
        read_images(path)
