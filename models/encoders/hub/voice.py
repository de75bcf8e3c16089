"""Networks that hear raw sound (wav2vec 2.0, HuBERT, WavLM): one row for each utterance.

From a Hugging Face directory or the hub (``hf:``), or by name from torchaudio's pipelines (``torchaudio:``),
which keep what they fetch in torch's hub folder. An utterance's features depend on nothing but its own sound:
networks whose first layer normalises over time, padding included, get one utterance at a time.

Shape suffixes: n sounds, S samples of the longest, F frames, D features.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.checkpoint import CheckpointError
from models.encoders.hub import files
from models.encoders.hub.spec import Spec
from models.encoders.hub.text import pooled

Floats = NDArray[np.float32]

RATE = 16_000  # samples a second
SHORTEST, LONGEST = 0.1, 30.0  # seconds; less is no voice, more is cut
# States [n, F, D] of each layer and lengths in frames, of sounds [n, S] and their lengths in samples.
Hear = Callable[[Tensor, Tensor], tuple[Sequence[Tensor], Tensor]]


def name(spec: Spec) -> str:
    """What tells the files of ``spec`` apart from others, and how features are made.

    Raises:
        CheckpointError: see `files.find`; no such pipeline.
    """
    if spec.source == "hf":
        return files.digest(spec, files.find(spec))
    path = _bundle(spec)._path  # a published file never changes under its name
    return hashlib.sha256(f"{spec.depends} {path}".encode()).hexdigest()[:16]


class HubVoice:
    """The network of ``spec``, ready to use.

    Raises:
        CheckpointError: the files are missing, damaged or of something else.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec, self.device = spec, files.device_of(spec)
        self._hear, self._scaled, self._together = (_hf if spec.source == "hf" else _pipeline)(spec)
        self.dim = self._rows([np.zeros(RATE, dtype=np.float32)]).shape[1]

    def encode(self, sounds: Sequence[Floats]) -> Floats:
        """Features ``[n, dim]`` of sounds ``[S]`` of 16 kHz in -1..1; NaN for one of under 0.1 s."""
        out_nD = np.full((len(sounds), self.dim), np.nan, dtype=np.float32)
        heard = [i for i, sound in enumerate(sounds) if len(sound) >= SHORTEST * RATE]
        heard.sort(key=lambda i: len(sounds[i]))
        size = self.spec.batch if self._together else 1
        for at in range(0, len(heard), size):
            which = heard[at : at + size]
            out_nD[which] = self._rows([sounds[i][: int(LONGEST * RATE)] for i in which])
        return out_nD

    def _rows(self, sounds: list[Floats]) -> Floats:
        length_n = torch.tensor([len(s) for s in sounds])
        x_nS = torch.zeros(len(sounds), int(length_n.max()))
        for row, sound in zip(x_nS, sounds, strict=True):
            x = torch.from_numpy(sound)
            row[: len(sound)] = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt() if self._scaled else x
        with files.computing(self.spec, self.device):
            states, frames_n = self._hear(x_nS.to(self.device), length_n.to(self.device))
            mask_nF = torch.arange(states[-1].shape[1], device=self.device) < frames_n.unsqueeze(1)
            rows: Floats = pooled(states, mask_nF, self.spec).cpu().numpy()
        return rows


def _hf(spec: Spec) -> tuple[Hear, bool, bool]:
    """How to hear, whether sounds are scaled first, and whether several go together."""
    folder = files.find(spec)
    about = files.read_json(folder / files.PREPROCESSOR)
    net = files.load_model(spec, folder)
    lengths = getattr(net, "_get_feat_extract_output_lengths", None)
    if net.main_input_name != "input_values" or lengths is None or about.get("sampling_rate") != RATE:
        raise CheckpointError(
            f"{spec}: a {type(net).__name__} at {about.get('sampling_rate')} Hz; expected a network of raw"
            f" sound at {RATE} Hz, such as wav2vec 2.0, HuBERT or WavLM"
        )
    together = getattr(net.config, "feat_extract_norm", "") == "layer"
    many = spec.layers > 1

    def hear(x_nS: Tensor, length_n: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        mask = torch.arange(x_nS.shape[1], device=x_nS.device) < length_n.unsqueeze(1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # WavLM's own affair
            out = net(x_nS, attention_mask=mask.long() if together else None, output_hidden_states=many)
        return out.hidden_states if many else [out.last_hidden_state], lengths(length_n)

    return hear, bool(about.get("do_normalize", True)), together


def _pipeline(spec: Spec) -> tuple[Hear, bool, bool]:
    """As `_hf`; a pipeline scales sounds by itself, over the whole batch, so one goes at a time."""
    bundle = _bundle(spec)
    try:
        net = bundle.get_model(dl_kwargs={"progress": False}).to(files.device_of(spec))
    except (OSError, RuntimeError) as error:
        there = Path(torch.hub.get_dir()) / "checkpoints" / Path(bundle._path).name
        raise CheckpointError(
            f"{spec}: {there} cannot be used and was not fetched ({error}); put the file there, fetch it"
            " where there is a network, or name a directory: hf:./wavlm"
        ) from error

    def hear(x_nS: Tensor, length_n: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        states, frames_n = net.extract_features(x_nS, length_n)
        return states, frames_n

    return hear, False, False


def _bundle(spec: Spec) -> Any:
    pipelines = files.import_torchaudio().pipelines
    found = getattr(pipelines, spec.name, None)
    if not isinstance(found, pipelines.Wav2Vec2Bundle):
        known = sorted(n for n, v in vars(pipelines).items() if isinstance(v, pipelines.Wav2Vec2Bundle))
        raise CheckpointError(f"{spec}: torchaudio has no such pipeline; it has {', '.join(known)}")
    return found
