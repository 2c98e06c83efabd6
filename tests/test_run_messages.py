"""What a run says about its data before it trains."""

from attnbench.run_messages import data_message

FACTS = {
    "training_lines": 1200,
    "dropped_training_lines": 0,
    "unknown_target_words_validation": 0.0,
    "unknown_target_words_test": 0.75,
    "differently_composed_words_validation": 0.0,
    "differently_composed_words_test": 0.5,
}


def test_words_that_are_unknown_in_their_unicode_form_alone_are_named_with_what_to_do():
    assert data_message("train.tsv", FACTS) == (
        "train.tsv: 1,200 training lines; 75.0% of the test target words are unknown and count as errors; "
        "50.0% of the test words are unknown only because of their Unicode form, in which é is one character (NFC) or "
        "two (NFD): write all files in NFC"
    )


def test_words_that_are_unknown_for_another_reason_give_no_such_advice():
    assert "Unicode" not in data_message("train.tsv", FACTS | {"differently_composed_words_test": 0.0})
