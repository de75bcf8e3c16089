"""MELD.Raw: labels and clips in the folders that its archives unpack to."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.data import load
from models.data.corpus import DataError
from models.data.meld_raw import read, recorded
from tests.data import shared_data

HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)


def raw(folder: Path, splits: tuple[str, ...] = ("train",), clips: str = "{split}_splits") -> Path:
    """Two dialogues of two utterances for each split; the clip of the last one is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        rows = [
            f'{i},"Oh, it\x92s {d} {u}!",{"Joey" if u else "Chandler"},joy,positive,{d},{u},3,{d + 7},x,y\n'
            for i, (d, u) in enumerate([(0, 1), (0, 0), (4, 0), (4, 1)])
        ]
        (folder / f"{split}_sent_emo.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
        where = folder / clips.format(split=split)
        where.mkdir(parents=True)
        for name in ("dia0_utt0", "dia0_utt1", "dia4_utt0"):
            (where / f"{name}.mp4").write_bytes(b"")
        (where / "._dia0_utt0.mp4").write_bytes(b"")  # what a Mac leaves in archives
    return folder


@pytest.mark.parametrize("clips", ["{split}_splits", "{split}/{split}_splits"])
def test_conversations_come_in_order_with_their_clips(clips: str, tmp_path: Path) -> None:
    """Wherever the archives were unpacked; an utterance without a clip stays."""
    (first, second) = recorded(raw(tmp_path / "MELD.Raw", clips=clips))["train"]
    assert first.conversation.id == "train_dia0"
    assert first.conversation.utterances == ("train_dia0_utt0", "train_dia0_utt1")
    assert first.conversation.speakers == ("Chandler", "Joey")
    assert first.conversation.texts == ("Oh, it's 0 0!", "Oh, it's 0 1!")
    assert first.conversation.group == "friends-s03e07"
    assert first.conversation.labels_N.tolist() == [1, 1]
    assert [c and c.name for c in first.clips] == ["dia0_utt0.mp4", "dia0_utt1.mp4"]
    assert [c and c.name for c in second.clips] == ["dia4_utt0.mp4", None]


def test_the_published_labels_are_those_of_the_reader_with_prosody() -> None:
    """Same conversations, words, speakers, labels and episodes as the packaged table."""
    data = shared_data()
    ours, packaged = read(shared_data("meld")), load("meld", data)
    for split in ("train", "dev", "test"):
        one = {c.id: c for c in ours.splits[split]}
        two = {c.id: c for c in packaged.splits[split]}
        assert set(one) == set(two)
        for id_, c in one.items():
            assert c.utterances == two[id_].utterances
            assert c.labels_N.tolist() == two[id_].labels_N.tolist()
            assert c.group == two[id_].group
            assert c.order_of_appearance() == two[id_].order_of_appearance()


def test_a_folder_without_labels_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no label file; expected MELD\.Raw: train_sent_emo\.csv"):
        read(tmp_path)
    (tmp_path / "train_sent_emo.csv").write_text("Utterance,Speaker\nHi,Joey\n")
    with pytest.raises(DataError, match="no column 'Emotion'"):
        read(tmp_path)
