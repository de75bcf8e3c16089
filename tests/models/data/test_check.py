"""What is counted, what is found twice, what training drops and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.data import CORPORA, load
from models.data.check import (
    Gaps,
    Known,
    Shared,
    assert_disjoint,
    assert_whole,
    between,
    drop_leaks,
    plain,
    shared,
    summary,
)
from models.data.corpus import Conversation, DataError
from tests.data import shared_data
from tests.models.data.made import corpus, talk

LONG = "I never said that you could keep it."
OTHER = "Where on earth have you been all night?"


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert plain("  It's NEVER-ending,\tisn't it?! ") == "its neverending isnt it"
    assert plain("Ça va_bien…") == "ça vabien"


def test_an_utterance_of_five_words_is_found_a_shorter_one_is_not() -> None:
    """In another case and punctuation; counted once for each time it stands in the first."""
    known = Known.of([talk("a", "one two three four five", "one two three four")])
    again = talk("b", "One, two: three four FIVE!", "one two three four", "one two three four five")
    assert shared([again], known) == Shared(speakers=2, utterances=2)


def test_a_dialogue_is_found_however_its_turns_were_cut() -> None:
    """All words in sequence, of five words or more."""
    known = Known.of([talk("a", LONG, "Well.", "Sorry!"), talk("b", "Hi.", "Hi.")])
    recut = talk("c", f"{LONG} Well", "sorry", who="ZZ")
    assert shared([recut, talk("d", "Hi.", "Hi.", who="ZZ")], known) == Shared(dialogues=1)


def test_groups_and_speakers_are_found_by_name_but_not_by_number() -> None:
    """A speaker who is only a number is not the same person elsewhere."""
    known = Known.of([talk("a", "Hi.", "Ho.", who="J1", group="e1")])
    assert shared([talk("b", "No.", "Yes.", who="J1", group="e1")], known) == Shared(groups=1, speakers=1)


def test_a_summary_counts_what_is_there_and_what_is_missing() -> None:
    """Rows without the modality, single gaps, words, labels, and what two splits share."""
    rows = np.array([[1, np.nan], [np.nan, np.nan], [np.inf, 2]], dtype=np.float32)
    one = talk("a", LONG, "...", "Hm.", labels=(0, -1, 1), group="g", features={"audio": rows})
    made = summary(corpus([one], test=[talk("b", LONG)]))
    train = made.splits["train"]
    assert (train.conversations, train.utterances, train.labelled, train.labels) == (1, 3, 2, (1, 1))
    assert (train.speakers, train.groups, train.wordless) == (2, 1, 1)
    assert train.gaps == {"audio": Gaps(width=2, absent=1, missing=1, infinite=1)}
    assert made.splits["dev"].conversations == 0
    assert made.within == {"test in train": Shared(speakers=1, dialogues=0, utterances=1)}


def rows_of(*shape: int) -> dict[str, np.ndarray]:
    return {"audio": np.zeros(shape, dtype=np.float32)}


WHOLE = talk("b", "Hi.", "Ho.", features=rows_of(2, 3))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(WHOLE, labels_N=np.array([0, 2])), "label 2; the corpus has 2 labels"),
        (replace(WHOLE, labels_N=np.array([0, -2])), "label -2; the corpus has 2 labels"),
        (replace(WHOLE, labels_N=np.array([0])), "1 labels for 2 utterances"),
        (replace(WHOLE, speakers=("A",)), "1 speakers for 2 utterances"),
        (replace(WHOLE, texts=("Hi.",)), "1 texts for 2 utterances"),
        (replace(WHOLE, features=rows_of(3, 3)), "3 audio for 2 utterances"),
        (replace(WHOLE, features=rows_of(2, 4)), r"audio of shape \[2, 4\]; expected \[2, 3\]"),
        (replace(WHOLE, features=rows_of(2)), r"audio of shape \[2\]; expected \[2, 3\]"),
        (replace(WHOLE, features={}), "no features audio, which others have"),
    ],
)
def test_what_has_no_place_is_refused_with_its_conversation(wrong: Conversation, says: str) -> None:
    """In whichever split it stands; words may be missing everywhere in a conversation."""
    assert_whole(corpus([WHOLE, replace(WHOLE, texts=(), labels_N=np.array([-1, 1]))]))
    for made in (corpus([WHOLE, wrong]), corpus([WHOLE], test=[wrong])):
        with pytest.raises(DataError, match=f"made: conversation b: {says}"):
            assert_whole(made)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("speaker", talk("a", "Hi.", who="J"), talk("b", "Ho.", who="J")),
        ("dialogue", talk("a", "Hi.", who="J"), talk("a", "Ho.", who="K")),
        ("group", talk("a", "Hi.", who="J", group="g"), talk("b", "Ho.", who="K", group="g")),
    ],
)
def test_splits_that_share_what_they_claim_not_to_are_refused(kind, first, second) -> None:  # type: ignore[no-untyped-def]
    """By the corpus's own claim or by the caller's; a claim of test alone lets train and dev share it."""
    with pytest.raises(DataError, match=f"train and test share the {kind}"):
        assert_disjoint(corpus([first], test=[second], disjoint_by=(kind,)))
    assert_disjoint(corpus([first], test=[second], disjoint_by=()))
    with pytest.raises(DataError, match=f"train and dev share the {kind}"):
        assert_disjoint(corpus([first], dev=[second], disjoint_by=()), by=[kind])
    assert_disjoint(corpus([first], dev=[second], disjoint_by=(f"test {kind}",)))


def test_a_claim_that_nobody_can_check_is_refused() -> None:
    with pytest.raises(ValueError, match="disjoint by dialogue, speaker, group"):
        assert_disjoint(corpus(), by=["episode"])


def test_training_drops_what_stands_in_dev_and_test_of_another_corpus() -> None:
    """The same episode whole, the same words whole, the same utterance's label; the rest stays."""
    test = [talk("x", LONG, "Sure.", group="e1"), talk("y", OTHER, "At home.", group="e2")]
    keep = talk("d", "Nothing of this was ever heard before.", "Hm.", group="e9")
    train = corpus(
        [
            talk("a", "Quite another scene of that one.", "Hm.", group="e1"),
            talk("b", f"{OTHER} At", "HOME!", group="e7"),
            talk("c", "Well.", LONG, "No.", group="e8", labels=(0, 1, 1)),
            keep,
            talk("e", LONG, group="e8", labels=(1,)),
        ],
        dev=[talk("f", LONG)],
        name="train set",
    )
    left, report = drop_leaks(train, corpus(dev=test[:1], test=test[1:], name="test set"))
    kept = left.splits["train"]
    assert [c.id for c in kept] == ["c", "d"]
    assert kept[0].labels_N.tolist() == [0, -1, 1]
    assert kept[0].texts == ("Well.", LONG, "No.")
    assert kept[1] is keep
    assert left.splits["dev"] is train.splits["dev"]
    assert report.conversations == {"group": 1, "dialogue": 1, "utterance": 1}
    assert (report.utterances, report.rows) == (1, 2 + 2 + 1 + 1)
    assert str(report).startswith("train set: 6 labels dropped that stand in dev or test of test set")
    assert shared(kept[1:], Known.of(test)) == Shared(speakers=2)


def test_within_one_corpus_a_shared_episode_is_no_reason() -> None:
    """Published splits may share episodes; only their words are dropped, unless the caller says more."""
    made = corpus([talk("a", "Hi.", group="e1")], test=[talk("b", LONG, group="e1")])
    assert drop_leaks(made, made)[1].rows == 0
    assert drop_leaks(made, made, by=["group"])[1].rows == 1
    with pytest.raises(ValueError, match="group, dialogue or utterance"):
        drop_leaks(made, made, by=["episode"])


def test_given_sentences_are_no_leak() -> None:
    """Actors who all speak the same two sentences may stay."""
    made = replace(corpus([talk("a", LONG)], test=[talk("b", LONG, who="Z")]), given_words=True)
    assert drop_leaks(made, made)[1].rows == 0
    assert not summary(made).within["test in train"]


def test_the_known_leaks_of_the_shared_sets_are_found() -> None:
    """331 MELD test utterances stand in EmoryNLP; 137 DailyDialog test dialogues are copies of train ones."""
    data = shared_data()
    meld, emorynlp = load("meld", data), load("emorynlp", data)
    found = between(meld, emorynlp)["test"]
    assert found.utterances == 331
    assert found.groups == 67
    left, report = drop_leaks(emorynlp, meld)
    assert report.conversations["group"] > 0
    tests = [c for s in ("dev", "test") for c in meld.splits[s]]
    rest = shared(tests, Known.of(left.splits["train"]))
    assert (rest.groups, rest.dialogues) == (0, 0)


@pytest.mark.timeout(60)  # 100,000 utterances
def test_the_copies_in_dailydialog_are_found_and_dropped() -> None:
    data = load("dailydialog", shared_data())
    known = Known.of(data.splits["train"])
    assert shared(data.splits["test"], known).dialogues == 137
    left, report = drop_leaks(data, data, by=["dialogue"])
    assert report.conversations["dialogue"] >= 137
    assert shared(data.splits["test"], Known.of(left.splits["train"])).dialogues == 0


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_no_shared_set_breaks_its_own_claim(name: str) -> None:
    made = load(name, shared_data())
    assert made.disjoint_by
    assert_disjoint(made)
