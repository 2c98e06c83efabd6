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


def test_the_message_about_images_says_how_many_each_part_has():
    """Five images decide which weights are tested, of which nothing was said."""
    facts = {"training_images": 1840, "validation_images": 5, "test_images": 11, "dropped_training_images": 3}
    unknown = {"unknown_target_words_validation": 0.0, "unknown_target_words_test": 0.25}
    assert data_message("own.npz", facts | unknown) == (
        "own.npz: 1,840 training images, 5 for validation, 11 for test; 3 more left out, because they are also "
        "validated or tested; 25.0% of the test words are unknown and count as errors"
    )


def test_the_message_about_a_dictionary_says_how_many_words_each_part_has():
    facts = {"training_words": 801, "validation_words": 22, "test_words": 77, "training_pronunciations": 846}
    dropped = {"dropped_training_words": 0, "skipped_lines": 1}
    assert data_message("own.dict", facts | dropped) == (
        "own.dict: 801 training words with 846 pronunciations, 22 words for validation, 77 for test; 1 line left out, "
        "whose words have other characters than letters and apostrophes"
    )
