"""Finding, telling apart and loading files: what is wrong is said, and the network asked only by name."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from models.checkpoint import CheckpointError
from models.encoders.hub.files import computing, device_of, digest, find, load_model, read_json
from models.encoders.hub.spec import Spec, parse
from tests.models.encoders.hub import checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkpoints.text(tmp_path / "roberta")


def spec(folder: Path, options: str = "") -> Spec:
    return parse(f"hf:{folder}{options}", "text")


def test_a_directory_is_taken_as_it_is(folder: Path) -> None:
    assert find(spec(folder)) == folder


def test_a_missing_directory_and_a_missing_file_are_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere is no directory; expected one with config\.json"):
        find(spec(folder.parent / "nowhere"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"roberta holds no weights \(model\*\.safetensors"):
        find(spec(folder))
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"roberta holds no config\.json; copy all files"):
        find(spec(folder))


def test_a_directory_never_asks_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found, told apart and loaded without one attempt to connect or to look a name up."""

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    digest(spec(folder), find(spec(folder)))
    load_model(spec(folder), folder)
    with pytest.raises(CheckpointError):
        find(spec(folder.parent / "nowhere"))


def test_a_name_of_the_hub_comes_from_its_cache_or_is_said_to_be_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, as the hub's own switch has it."""
    cache = tmp_path / "cache" / "models--somebody--roberta"
    shutil.copytree(folder, cache / "snapshots" / "abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find(parse("hf:somebody/roberta", "text")) == cache / "snapshots" / "abc"
    with pytest.raises(
        CheckpointError, match=r"no directory 'somebody/other' here.*did not send it.*\./other"
    ):
        find(parse("hf:somebody/other", "text"))
    (cache / "snapshots" / "abc" / "model.safetensors").unlink()  # a download that was cut off
    with pytest.raises(CheckpointError, match="abc, of the hub, holds no weights"):
        find(parse("hf:somebody/roberta", "text"))


COMMIT = "a" * 40


def serve(folder: Path, asked: list[str]) -> ThreadingHTTPServer:
    """A hub on loopback with one model, somebody/model; ``asked`` hears the paths."""

    class Hub(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            found = [f for f in folder.iterdir() if path.endswith(f"/resolve/{COMMIT}/{f.name}")]
            if found:
                body = found[0].read_bytes()
            elif path == f"/api/models/somebody/model/tree/{COMMIT}":
                listed = [(f.name, f.stat().st_size) for f in folder.iterdir()]
                rows = [{"type": "file", "path": n, "size": size, "oid": "0"} for n, size in listed]
                body = json.dumps(rows).encode()
            elif path == "/api/models/somebody/model/revision/main":
                body = json.dumps({"id": "somebody/model", "sha": COMMIT}).encode()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize("weights", [("model.safetensors", "pytorch_model.bin"), ("pytorch_model.bin",)])
def test_a_model_of_the_hub_is_fetched_once(
    weights: tuple[str, ...], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its safetensors where it has them, and nothing that is not read."""
    (folder / "tf_model.h5").write_bytes(b"x")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    for name in {"model.safetensors"} - set(weights):
        (folder / name).unlink()
    asked: list[str] = []
    server = serve(folder, asked)
    here = f"http://127.0.0.1:{server.server_port}"
    try:
        monkeypatch.setattr(constants, "ENDPOINT", here)
        template = f"{here}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        found = find(parse("hf:somebody/model", "text"))
        assert {f.name for f in found.glob("*model*")} == {weights[0]}
        assert (found / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
        asked.clear()
        assert find(parse("hf:somebody/model", "text")) == found
        assert not asked, "what is in the cache asks nobody"
        with pytest.raises(CheckpointError, match=r"no directory 'somebody/none'.*did not send it \(.*404"):
            find(parse("hf:somebody/none", "text"))
    finally:
        server.shutdown()
        server.server_close()


def test_the_digest_is_of_all_that_features_are_made_of(folder: Path, tmp_path: Path) -> None:
    """Weights, tokenizer, configuration and pooling; not where the files lie, nor what else lies there."""
    before = digest(spec(folder), folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("about")
    assert digest(spec(copy, "?batch=2"), copy) == before
    others = {digest(spec(folder, o), folder) for o in ("?pool=cls", "?layers=2", "?tokens=8")}
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        changed = shutil.copytree(folder, tmp_path / name)
        raw = (changed / name).read_bytes()
        (changed / name).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        others.add(digest(spec(changed), changed))
    assert len(others | {before}) == 7


def test_weights_that_the_architecture_lacks_are_refused(folder: Path) -> None:
    """Networks are never completed with random numbers; a pooler, which nothing reads, may be missing."""
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "pooler" not in k}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    assert type(load_model(spec(folder), folder)).__name__ == "RobertaModel"
    lost = [k for k in kept if "layer.1.output" in k]
    save_file(
        {k: v for k, v in kept.items() if k not in lost}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(
        CheckpointError, match=rf"no weights for encoder\.layer\.1\..* and {len(lost) - 1} more"
    ):
        load_model(spec(folder), folder)


def test_damaged_and_unknown_files_are_named(folder: Path) -> None:
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(raw[:500])
    with pytest.raises(CheckpointError, match="roberta cannot be loaded"):
        load_model(spec(folder), folder)
    (folder / "model.safetensors").write_bytes(raw)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    with pytest.raises(CheckpointError, match=r"cannot be loaded \(.*no-such-model"):
        load_model(spec(folder), folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json: not readable JSON"):
        read_json(folder / "config.json")
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json: not there"):
        read_json(folder / "preprocessor_config.json")


def test_the_encoder_of_an_encoder_decoder_is_taken(tmp_path: Path) -> None:
    from models.encoders.hub.files import import_transformers

    transformers = import_transformers()
    config = transformers.T5Config(d_model=16, d_kv=8, d_ff=20, num_layers=1, num_heads=2, vocab_size=20)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "t5")
    model = load_model(spec(tmp_path / "t5"), tmp_path / "t5")
    assert not hasattr(model, "decoder")
    assert model.config.hidden_size == 16


def test_weights_of_half_precision_are_computed_with_whole_numbers_on_a_cpu(folder: Path) -> None:
    half = {k: v.half() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(half, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    model = load_model(spec(folder, "?device=cpu"), folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training


def test_memory_and_devices_that_are_not_there_are_said(folder: Path) -> None:
    with (
        pytest.raises(CheckpointError, match=r"memory is too small; put \?batch=8 behind"),
        computing(spec(folder), torch.device("cpu")),
    ):
        raise torch.OutOfMemoryError("none left")
    assert device_of(spec(folder, "?device=cpu")).type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(CheckpointError, match="torch sees no GPU here"):
            device_of(spec(folder, "?device=cuda"))


def test_nothing_heavy_is_imported_before_an_encoder_is_named() -> None:
    code = "import sys, models.encoders.hub.files, models.encoders.hub.voice, models.encoders.hub.face\n"
    code += "print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"transformers", "torchaudio", "torchvision", "timm", "huggingface_hub", "cv2"}
    assert not heavy & set(done.stdout.split())
