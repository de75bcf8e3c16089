"""Files of a big encoder: found in a directory or fetched from the hub, told apart by a digest, loaded.

The network is asked only for a name that is no directory's, and only for what the hub's cache lacks. Code
that a model brings along is never run, and pickled weights are read as data alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from models.checkpoint import CheckpointError
from models.encoders.hub.spec import Spec

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
SMALL = (
    *(CONFIG, PREPROCESSOR, "tokenizer*", "vocab*", "merges.txt", "*.model"),
    *("special_tokens_map.json", "added_tokens.json"),
)
WEIGHTS = ("model*.safetensors*", "pytorch_model*.bin*")  # the first kind that is there
# What a checkpoint may lack: no part of it takes part in the features.
UNUSED = ("pooler", "masked_spec_embed", "mask_token")
INSTALL = {
    "transformers": "pip install 'lmam-streamer[encoders]'",
    "huggingface_hub": "pip install 'lmam-streamer[encoders]'",
    "torchvision": "pip install timm",
}


def find(spec: Spec) -> Path:
    """The directory that holds the files of ``spec``, fetched first where it names a model of the hub.

    Raises:
        CheckpointError: neither a directory nor to be had from the hub, or a file is missing in it.
    """
    folder = Path(spec.name).expanduser()
    if not spec.is_path:
        return _fetched(spec)
    if not folder.is_dir():
        raise CheckpointError(
            f"{spec}: {folder} is no directory; expected one with {CONFIG} and weights"
            f" ({' or '.join(WEIGHTS)}), as save_pretrained writes it, or the name of a hub model"
        )
    if lacking := _lacking(folder):
        raise CheckpointError(f"{spec}: {folder} holds no {lacking}; copy all files of the model there")
    return folder


def _lacking(folder: Path) -> str:
    if not (folder / CONFIG).is_file():
        return CONFIG
    return "" if _weights(folder) else f"weights ({' or '.join(WEIGHTS)})"


def _weights(folder: Path) -> list[Path]:
    return next((found for kind in WEIGHTS if (found := sorted(folder.glob(kind)))), [])


def _fetched(spec: Spec) -> Path:
    """What the hub's cache holds of ``spec``, else what the hub sends: safetensors where it has them."""
    hub = _import("huggingface_hub")
    for kind, cached in ((kind, cached) for cached in (True, False) for kind in WEIGHTS):
        try:
            folder = Path(
                hub.snapshot_download(
                    spec.name,
                    revision=spec.revision or None,
                    allow_patterns=[*SMALL, kind],
                    local_files_only=cached,
                )
            )
        except (OSError, ValueError) as error:  # the hub's own errors are both
            if cached:
                continue
            raise CheckpointError(
                f"{spec}: no directory {spec.name!r} here, and the hub did not send it ({_first(error)});"
                f" name a directory (./{spec.short}), or fetch it where there is a network"
            ) from error
        if not _lacking(folder):
            return folder
    raise CheckpointError(
        f"{spec}: {folder}, of the hub, holds no {_lacking(folder)}; fetch it again where there is a network,"
        " or choose another model"
    )


def _first(error: BaseException) -> str:
    """The first line of what a library says."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def digest(spec: Spec, folder: Path) -> str:
    """16 digits that change with any file in ``folder`` of which features are made, or the way they are."""
    sha = hashlib.sha256(spec.depends.encode())
    small = {path for pattern in SMALL for path in folder.glob(pattern) if path.is_file()}
    for path in [*sorted(small), *_weights(folder)]:
        with path.open("rb") as file:
            sha.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    """The object in ``path``.

    Raises:
        CheckpointError: missing, or not JSON.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not there; copy all files of the model") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable JSON ({error}); fetch it again") from error
    return value


def device_of(spec: Spec) -> torch.device:
    """Where to compute.

    Raises:
        CheckpointError: ``device=cuda`` and there is none.
    """
    usable = torch.cuda.is_available()
    if spec.device == "cuda" and not usable:
        raise CheckpointError(f"{spec}: device=cuda, but torch sees no GPU here; leave the option out")
    return torch.device("cuda" if usable and spec.device != "cpu" else "cpu")


@contextlib.contextmanager
def computing(spec: Spec, device: torch.device) -> Iterator[None]:
    """Without gradient; on a GPU in half precision.

    Raises:
        CheckpointError: the GPU's memory is too small.
    """
    half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
    try:
        with torch.inference_mode(), torch.autocast(device.type, half, enabled=device.type == "cuda"):
            yield
    except torch.OutOfMemoryError as error:
        raise CheckpointError(
            f"{spec}: the GPU's memory is too small; put ?batch={max(1, spec.batch // 4)} behind the name"
        ) from error


def load_model(spec: Spec, folder: Path) -> Any:
    """The transformers model in ``folder``, in eval mode on its device; an encoder-decoder's encoder.

    Raises:
        CheckpointError: not installed, damaged, of an unknown architecture, or without some of its weights.
    """
    transformers = import_transformers()
    try:
        model, info = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # transformers, safetensors and pickle each raise their own
        raise CheckpointError(f"{spec}: {folder} cannot be loaded ({_first(error)})") from error
    lost = [k for k in sorted(info["missing_keys"]) if not any(part in k for part in UNUSED)]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise CheckpointError(
            f"{spec}: {folder} holds no weights for {lost[0]}{more} of {type(model).__name__}; they are of"
            f" another architecture than {CONFIG} says"
        )
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return ready(model, spec)


def ready(model: nn.Module, spec: Spec) -> nn.Module:
    """``model`` in eval mode on its device, without gradient."""
    return model.to(device_of(spec)).eval().requires_grad_(False)


def import_transformers() -> Any:
    """The package, quiet.

    Raises:
        CheckpointError: not installed.
    """
    for mended in (
        import_torchaudio,
        import_torchvision,
    ):  # imported where found, and then they must not fail
        with contextlib.suppress(CheckpointError):
            mended()
    transformers = _import("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def import_torchaudio() -> Any:
    """torchaudio, also beside another build of torch than the one that its compiled part was made for.

    That part (filters, alignment) is then left out; the networks need none of it.

    Raises:
        CheckpointError: not installed.
    """
    with contextlib.suppress(OSError, RuntimeError):
        return _import("torchaudio")
    _forget("torchaudio")
    bare: Any = types.ModuleType("torchaudio._extension")
    bare._IS_TORCHAUDIO_EXT_AVAILABLE = bare._IS_ALIGN_AVAILABLE = False
    bare.fail_if_no_align = lambda _: _no_extension
    bare._check_cuda_version = lambda: None
    sys.modules[bare.__name__] = bare
    return _import("torchaudio")


def import_torchvision() -> Any:
    """torchvision, also beside another build of torch, as `import_torchaudio`.

    Raises:
        CheckpointError: not installed, or of a version that does not fit torch at all.
    """
    with contextlib.suppress(OSError, RuntimeError):
        return _import("torchvision")
    _forget("torchvision")
    for name in ("nms", "qnms"):  # would come with the compiled part; the Python part takes them for granted
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
    try:
        return _import("torchvision")
    except RuntimeError as error:
        raise CheckpointError(f"torchvision does not fit this torch ({_first(error)})") from error


def import_timm() -> Any:
    """timm, which stands on torchvision.

    Raises:
        CheckpointError: not installed.
    """
    import_torchvision()
    return _import("timm")


def _forget(*packages: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
        del sys.modules[name]


def _no_extension(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("torchaudio's compiled part does not fit this torch")


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        how = INSTALL.get(package, f"pip install {package}")
        raise CheckpointError(f"{package} is not usable here ({error}); run: {how}") from error
