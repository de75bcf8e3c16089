"""A voice as a vector: the speaker encoder whose weights are inside the package resemblyzer.

The network is that of Wan et al., "Generalized End-to-End Loss for Speaker Verification" (ICASSP 2018),
trained by Corentin Jemine on LibriSpeech and VoxCeleb (Apache-2.0): three LSTM layers over 40 mel bands, a
linear layer, ReLU, unit length. Only the file of weights is read, not the package, whose import needs a
compiled webrtcvad and librosa.

The front end is the package's: power (no logarithm), 25 ms Hann windows every 10 ms, 40 bands on Slaney's
mel scale with unit area (librosa's default; checked against it, see the test). Two things differ. Each
stretch is brought to `LEVEL` by itself, since the network hears power: its own level, -30 dBFS over a whole
file, tells voices of quiet recordings apart less well (docs/speakers.md). And the mel bank is written out
here, because torchaudio does not load beside every build of torch.

Shape suffixes: B stretches, N samples, T frames, M mel bands, E embedding.
"""

from __future__ import annotations

import importlib.util
import math
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.checkpoint import CheckpointError
from models.encoders.mel import triangles

RATE = 16_000  # Hz
HOP, WINDOW = 160, 400  # samples
BANDS, EMBEDDING = 40, 256
STRETCH = 1.6  # seconds that the network was trained on
SHORTEST = 0.4  # seconds; less is padded with silence
LEVEL = -24.0  # dBFS
PACKAGE, FILE = "resemblyzer", "pretrained.pt"
INSTALL = "pip install --no-deps resemblyzer==0.1.4"
LICENCE = (
    "weights: Apache-2.0; LibriSpeech: CC BY 4.0; VoxCeleb: CC BY 4.0 for the lists, its sound belongs to the"
    " makers of the videos"
)
COMMERCIAL_USE = "unclear"  # allowed for the weights, never settled for sound taken from videos
MEGABYTES, SHA256 = 17.1, "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"

Pcm = NDArray[np.float32]


class SpeakerNet(nn.Module):
    """Mel power ``[B, T, 40]`` to embeddings ``[B, 256]`` of unit length, none of them negative."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, EMBEDDING, 3, batch_first=True)
        self.linear = nn.Linear(EMBEDDING, EMBEDDING)

    def forward(self, mel_BTM: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mel_BTM)
        raw_BE = torch.relu(self.linear(hidden[-1]))
        embeddings_BE: Tensor = raw_BE / raw_BE.norm(dim=1, keepdim=True).clamp_min(1e-9)
        return embeddings_BE

    @classmethod
    def load(cls, path: Path | None = None, device: str = "cpu") -> SpeakerNet:
        """From ``path``, else from the installed package.

        Raises:
            CheckpointError: the file is missing or is not this network; says what to do.
        """
        path = path or packaged()
        if path is None or not path.is_file():
            raise CheckpointError(f"{path or FILE}: no speaker encoder there; {INSTALL}")
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            net = cls()
            net.load_state_dict({k: v for k, v in stored.items() if not k.startswith("similarity_")})
        except (OSError, EOFError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: not the speaker encoder of {PACKAGE} ({error}); {INSTALL}"
            ) from error
        except pickle.UnpicklingError as error:
            raise CheckpointError(f"{path}: not a file of weights; {INSTALL}") from error
        return net.to(device).eval()

    @torch.inference_mode()
    def embed(self, stretches: Sequence[Pcm], level: float = LEVEL) -> NDArray[np.float32]:
        """Embeddings ``[B, 256]`` of ``stretches`` that are equally long, each float32 ``[N]`` at 16 kHz.

        Each is brought to ``level`` dBFS; another than the usual one is for measuring.
        """
        pcm_BN = torch.from_numpy(np.stack(stretches)).to(self.linear.weight.device)
        short = round(SHORTEST * RATE) - pcm_BN.shape[1]
        if short > 0:
            pcm_BN = nn.functional.pad(pcm_BN, (0, short))
        made: NDArray[np.float32] = self(mel_power(pcm_BN, level)).cpu().numpy()
        return made


def packaged() -> Path | None:
    """The file of weights inside the installed package, found without importing that package."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / FILE
        if path.is_file():
            return path
    return None


def mel_power(pcm_BN: Tensor, level: float | None = LEVEL) -> Tensor:
    """Mel power ``[B, T, 40]`` with ``T = N // 160``; each row brought to ``level`` dBFS (None: as it is)."""
    if level is not None:
        power_B1 = pcm_BN.square().mean(1, keepdim=True).sqrt()
        pcm_BN = pcm_BN * (10 ** (level / 20) / (power_B1 + 1e-9))
    window = torch.hann_window(WINDOW, device=pcm_BN.device)
    spectrum = torch.stft(
        pcm_BN, WINDOW, HOP, WINDOW, window, center=True, pad_mode="constant", return_complex=True
    )
    power_BFT = spectrum.abs().square()[..., : pcm_BN.shape[1] // HOP]
    return (mel_bank().to(pcm_BN.device) @ power_BFT).transpose(1, 2)


def mel_bank() -> Tensor:
    """Triangles ``[40, 201]`` of unit area between points that are even on Slaney's scale, 0 to 8 kHz."""
    mels = np.linspace(0.0, _mel(RATE / 2), BANDS + 2)
    points = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * math.log(6.4) / 27))
    area_FM = triangles(points, WINDOW // 2 + 1) * 2 / (points[2:] - points[:-2])
    return torch.from_numpy(area_FM.T.copy()).float()


def _mel(hertz: float) -> float:
    """Slaney's scale above 1 kHz, where it is logarithmic."""
    return 15 + 27 * math.log(hertz / 1000) / math.log(6.4)
