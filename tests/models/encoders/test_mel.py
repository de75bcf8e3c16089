"""Log-mel frames: torchaudio's numbers, however the sound comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.encoders.hub.files import import_torchaudio
from models.encoders.mel import BANDS, HIGHEST, LOWEST, RATE, STEP, WINDOW, LogMel, filters, times


def sound(seconds: float, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


@pytest.mark.filterwarnings("ignore")  # of torchaudio's import
def test_filters_and_frames_are_those_of_torchaudio() -> None:
    audio = import_torchaudio()
    theirs = audio.functional.melscale_fbanks(257, LOWEST, HIGHEST, BANDS, RATE, norm=None, mel_scale="htk")
    np.testing.assert_allclose(filters(), theirs.numpy(), atol=1e-5)  # theirs is rounded
    spectrogram = audio.transforms.MelSpectrogram(
        RATE, 512, WINDOW, STEP, LOWEST, HIGHEST, n_mels=BANDS, center=False
    )
    pcm = sound(1.0)
    mel = LogMel()
    mel.push(pcm)
    # Theirs centres the window of 400 samples in the 512 of the transform.
    padded = np.pad(pcm, (56, 56))
    theirs_TB = torch.log(spectrogram(torch.from_numpy(padded)) + 1e-10).T.numpy()
    np.testing.assert_allclose(mel.frames(), theirs_TB, atol=1e-3)


@pytest.mark.parametrize("size", [1, 159, 160, 512, 4000])
def test_frames_do_not_depend_on_how_the_sound_is_cut(size: int) -> None:
    pcm = sound(0.4)
    whole, parts = LogMel(), LogMel()
    whole.push(pcm)
    for at in range(0, len(pcm), size):
        parts.push(pcm[at : at + size])
        if at % 1000 == 0:
            parts.frames()
    np.testing.assert_allclose(parts.frames(), whole.frames(), atol=1e-5)


def test_a_sound_shorter_than_a_window_has_no_frame_and_each_step_adds_one() -> None:
    mel = LogMel()
    mel.push(sound(1.0)[: WINDOW - 1])
    assert mel.frames().shape == (0, BANDS)
    mel.push(sound(1.0)[:1])
    assert mel.frames().shape == (1, BANDS)
    mel.push(sound(1.0)[: 3 * STEP])
    assert mel.frames().shape == (4, BANDS)


def test_a_tone_is_loudest_in_its_band_and_silence_is_finite() -> None:
    mel = LogMel()
    mel.push(np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32))
    mel.push(np.zeros(RATE, dtype=np.float32))
    frames = mel.frames()
    peaks = np.linspace(0, RATE / 2, 257)[filters().argmax(0)]
    assert abs(peaks[frames[10].argmax()] - 1000) < 60
    assert np.isfinite(frames).all()
    assert frames[-1].max() == pytest.approx(np.log(1e-10), abs=1e-3)


def test_times_are_the_middles_of_the_frames() -> None:
    np.testing.assert_allclose(times(3), [0.0125, 0.0225, 0.0325])
