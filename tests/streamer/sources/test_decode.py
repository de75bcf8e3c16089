from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer.sources.decode import Item, Options, Reader, moment, probe
from streamer.types import RATE, AudioChunk, VideoFrame
from tests.data import shared_data

from .files import film, picture, shown, tone, turned, write_media, write_wav


def read(path: Path, **options: object) -> tuple[list[AudioChunk], list[VideoFrame], Reader]:
    items, reader = read_all(path, **options)
    sound = [i for i in items if isinstance(i, AudioChunk)]
    return sound, [i for i in items if isinstance(i, VideoFrame)], reader


def read_all(path: Path, **options: object) -> tuple[list[Item], Reader]:
    reader = Reader(path, probe(path), Options(**options))  # type: ignore[arg-type]
    items: list[Item] = []
    while batch := reader.take(5):
        items += batch
    reader.close()
    return items, reader


def joined(chunks: list[AudioChunk]) -> np.ndarray:
    return np.concatenate([c.pcm for c in chunks])


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_sound_of_any_rate_arrives_at_16_khz_without_loss(tmp_path: Path, rate: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone(1.0, rate), rate, "FLOAT")
    chunks, pictures, reader = read(path)
    assert not pictures
    assert reader.damage is None
    heard, ideal = joined(chunks), tone(1.0, RATE)
    assert len(heard) == RATE
    assert np.abs(heard[200:-200] - ideal[200:-200]).max() < 1e-3
    starts = [c.start for c in chunks]
    assert starts == pytest.approx([i / 10 for i in range(10)])
    assert probe(path).duration == pytest.approx(1.0)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sound_of_any_sample_format_keeps_its_level(tmp_path: Path, subtype: str) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.5, RATE), RATE, subtype)
    assert np.abs(joined(read(path)[0]) - tone(0.5, RATE)).max() < (0.01 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_compressed_sound_is_read(tmp_path: Path, name: str) -> None:
    import soundfile

    soundfile.write(tmp_path / name, tone(1.0, 44_100), 44_100)
    chunks, _, reader = read(tmp_path / name)
    assert reader.damage is None
    heard = joined(chunks)[:RATE]
    assert abs(len(heard) - RATE) <= 0.1 * RATE
    assert np.corrcoef(np.abs(np.fft.rfft(heard)), np.abs(np.fft.rfft(tone(1.0, RATE)[: len(heard)])))[
        0, 1
    ] == pytest.approx(1.0, abs=0.01)


def test_stereo_is_mixed_picked_or_split(tmp_path: Path) -> None:
    left, right = tone(0.3, RATE, 300), tone(0.3, RATE, 900)
    path = write_wav(tmp_path / "a.wav", np.stack([left, right], 1), RATE, "FLOAT")
    np.testing.assert_allclose(joined(read(path)[0]), (left + right) / 2, atol=1e-6)
    np.testing.assert_array_equal(joined(read(path, channels=1)[0]), right)
    chunks = read(path, channels="split")[0]
    for number, pcm in ((0, left), (1, right)):
        mine = [c for c in chunks if c.channel == number]
        np.testing.assert_array_equal(joined(mine), pcm)
        assert [c.start for c in mine] == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.parametrize("channels", [3, 5, 6, 8])
def test_more_than_two_channels_are_read(tmp_path: Path, channels: int) -> None:
    pcm = np.stack([tone(0.2, RATE, 200 + 100 * c) for c in range(channels)], 1)
    path = write_wav(tmp_path / "a.wav", pcm, RATE, "FLOAT")
    np.testing.assert_array_equal(joined(read(path, channels=channels - 1)[0]), pcm[:, -1])


def test_a_hole_in_the_time_stamps_is_a_gap_in_start(tmp_path: Path) -> None:
    blocks = [(i / 10, tone(0.1, RATE)) for i in range(20) if not 8 <= i < 13]
    chunks = read(write_media(tmp_path / "a.mkv", sound=blocks))[0]
    ends = [c.span.end for c in chunks[:-1]]
    jumps = [(e, c.start) for e, c in zip(ends, chunks[1:], strict=True) if abs(c.start - e) > 0.001]
    assert jumps == [(pytest.approx(0.8, abs=0.002), pytest.approx(1.3, abs=0.002))]
    assert sum(len(c.pcm) for c in chunks) == 15 * 1600


def test_a_lost_block_of_one_frame_is_a_gap_too(tmp_path: Path) -> None:
    blocks = [(i / 50, tone(0.02, RATE)) for i in range(50) if i != 20]
    chunks = read(write_media(tmp_path / "a.mkv", sound=blocks))[0]
    assert sum(len(c.pcm) for c in chunks) == 49 * 320
    assert chunks[-1].span.end == pytest.approx(1.0, abs=0.002)


def test_coarse_time_stamps_are_no_gaps(tmp_path: Path) -> None:
    """Matroska counts in milliseconds; 11025 Hz blocks never fall on one."""
    blocks = [(i * 441 / 11_025, tone(0.04, 11_025)) for i in range(50)]
    chunks = read(write_media(tmp_path / "a.mkv", sound=blocks, rate=11_025))[0]
    ends = [c.span.end for c in chunks[:-1]]
    assert [c.start for c in chunks[1:]] == pytest.approx(ends, abs=1e-9)


def test_the_skew_between_sound_and_pictures_is_measured_and_kept(tmp_path: Path) -> None:
    blocks = [(0.5 + i / 10, tone(0.1, RATE)) for i in range(10)]
    images = [(i / 25, picture(i)) for i in range(25)]
    path = write_media(tmp_path / "a.mkv", sound=blocks, pictures=images)
    assert probe(path).skew == pytest.approx(0.5, abs=0.002)
    chunks, pictures, _ = read(path)
    assert chunks[0].start == pytest.approx(0.5, abs=0.002)
    assert pictures[0].time == 0.0


def test_time_begins_with_the_first_sound_or_picture_wherever_the_container_begins(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", begin=3.0, audio_codec="mp2", video_codec="mpeg2video")
    info = probe(path)
    assert info.origin == pytest.approx(3.0, abs=0.1)
    chunks, pictures, reader = read(path)
    assert min(chunks[0].start, pictures[0].time) == 0.0
    assert reader.damage is None
    assert info.duration == pytest.approx(2.0, abs=0.1)


def test_a_recording_whose_clock_is_set_back_goes_on(tmp_path: Path) -> None:
    one = film(tmp_path / "one.ts", audio_codec="mp2", video_codec="mpeg2video").read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    chunks, pictures, _ = read(tmp_path / "two.ts")
    starts, times = [c.start for c in chunks], [p.time for p in pictures]
    assert starts == sorted(starts)
    assert times == sorted(times)
    assert sum(len(c.pcm) for c in chunks) / RATE == pytest.approx(4.0, abs=0.15)
    assert times[-1] == pytest.approx(4.0, abs=0.2)


def test_items_come_in_time_order(tmp_path: Path) -> None:
    items, _ = read_all(film(tmp_path / "a.mkv"))
    moments = [moment(i) for i in items]
    assert moments == sorted(moments)
    assert len(moments) == 20 + 24


def test_a_track_that_is_far_behind_does_not_hold_the_other_for_ever(tmp_path: Path) -> None:
    """A picture, then only sound for ten seconds: it does not wait for the next picture."""
    blocks = [(i / 10, tone(0.1, RATE)) for i in range(100)]
    path = write_media(tmp_path / "a.mkv", sound=blocks, pictures=[(0.0, picture(1)), (9.9, picture(2))])
    reader = Reader(path, probe(path), Options())
    assert [moment(i) for i in reader.take(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert reader.position < 5.0
    reader.close()


@pytest.mark.parametrize(("fps", "cap", "expected"), [(25, 12.0, 24), (25, None, 50), (10, 12.0, 20)])
def test_pictures_are_thinned_to_the_wanted_rate(
    tmp_path: Path, fps: int, cap: float | None, expected: int
) -> None:
    pictures = read(film(tmp_path / "a.mkv", fps=fps), fps=cap)[1]
    assert abs(len(pictures) - expected) <= 1
    assert [shown(p.bgr) for p in pictures] == [round(p.time * fps) for p in pictures]


def test_wide_pictures_are_scaled_down_and_keep_their_shape(tmp_path: Path) -> None:
    images = [(i / 25, picture(i, 320, 240)) for i in range(5)]
    path = write_media(tmp_path / "a.mkv", pictures=images)
    assert {p.bgr.shape for p in read(path, max_width=160)[1]} == {(120, 160, 3)}
    assert {p.bgr.shape for p in read(path, max_width=None)[1]} == {(240, 320, 3)}
    assert probe(path).size == (320, 240)


def test_pictures_stored_lying_are_put_upright(tmp_path: Path) -> None:
    lying = np.zeros((48, 64, 3), np.uint8)
    lying[:, :16] = 255  # the bright side is left; a quarter turn clockwise brings it to the top
    path = turned(write_media(tmp_path / "a.mp4", pictures=[(i / 25, lying) for i in range(5)]))
    upright = read(path)[1][0].bgr
    assert upright.shape == (64, 48, 3)
    assert upright[:8].mean() > 200
    assert upright[-8:].mean() < 50


def test_a_file_cut_short_gives_what_is_there_and_says_where_it_ends(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    chunks, _, reader = read(path)
    assert 2.0 < sum(len(c.pcm) for c in chunks) / RATE < 3.0
    assert reader.damage is not None
    assert "of 5.0 s: cut off?" in reader.damage


def test_damage_in_the_middle_loses_only_the_middle(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE), RATE)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xa5" * 3000
    path.write_bytes(data)
    chunks, _, _ = read(path)
    assert 4.0 < sum(len(c.pcm) for c in chunks) / RATE <= 5.0
    assert chunks[-1].span.end == pytest.approx(5.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mkv", {}),
        ("a.avi", {}),
        ("a.mov", {}),
        ("a.mp4", {"audio_codec": "aac"}),
        ("a.flv", {"audio_codec": "aac", "video_codec": "flv1"}),
        ("a.ts", {"audio_codec": "mp2", "video_codec": "mpeg2video"}),
        ("a.mpg", {"audio_codec": "mp2", "video_codec": "mpeg2video"}),
    ],
)
def test_no_container_loses_its_end_to_damage_in_the_middle(
    tmp_path: Path, name: str, codecs: dict[str, str]
) -> None:
    path = film(tmp_path / name, 5.0, **codecs)
    data = bytearray(path.read_bytes())
    middle, length = len(data) // 2, len(data) // 10
    data[middle : middle + length] = b"\xff" * length
    path.write_bytes(data)
    chunks, pictures, _ = read(path)
    assert chunks[-1].span.end > 4.0
    assert pictures[-1].time > 4.0
    assert sum(len(c.pcm) for c in chunks) / RATE > 4.0


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv")
    (one, _), (two, _) = read_all(path), read_all(path)
    assert [moment(i) for i in one] == [moment(i) for i in two]
    for a, b in zip(one, two, strict=True):
        left = a.pcm if isinstance(a, AudioChunk) else a.bgr
        np.testing.assert_array_equal(left, b.pcm if isinstance(b, AudioChunk) else b.bgr)


@pytest.mark.parametrize("name", ["grid_pwij3p.mpg", "pyfeat_face_noface.mov", "pyfeat_single_face.mp4"])
def test_real_clips_are_read_whole(name: str) -> None:
    path = shared_data("talking_faces", name)
    info = probe(path)
    chunks, pictures, reader = read(path)
    assert info.duration is not None
    assert reader.damage is None
    last = max(chunks[-1].span.end, pictures[-1].time)
    assert last == pytest.approx(info.duration, abs=0.15)
    assert len(pictures) == pytest.approx(12 * pictures[-1].time, abs=3)
