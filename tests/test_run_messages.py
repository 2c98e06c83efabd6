"""What a run says about its data before it trains."""

from attnbench.run_messages import data_message
from attnbench.tasks.pairs import Pairs


def test_words_that_differ_in_their_unicode_form_alone_are_named_with_what_to_do(tmp_path):
    """A test file in NFD: without the message, only "100% unknown" would be known of it."""
    files = [tmp_path / name for name in ("train.tsv", "dev.tsv", "test.tsv")]
    lines = [
        "caf\u00e9\tbr\u00fbl\u00e9\nnoir\tbr\u00fbl\u00e9\n",
        "th\u00e9\tbr\u00fbl\u00e9\n",
        "cafe\u0301\tbru\u0302le\u0301\n",
    ]
    for file, content in zip(files, lines, strict=True):
        file.write_text(content, encoding="utf-8")
    said = data_message("train.tsv", Pairs(*map(str, files)).facts())
    assert said == (
        "train.tsv: 2 training lines; 100.0% of the test target words are unknown and count as errors; "
        "100.0% of the test words are unknown only because of their Unicode form, in which é is one character (NFC) or "
        "two (NFD): write all files in NFC"
    )
