"""What a newcomer runs first, and what an operator runs beside it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from streamer.payloads import EstimateV1
from tests.e2e.product import SAMPLE, end, lmam, read_log, start
from tests.mosquitto import mosquitto

pytestmark = pytest.mark.timeout(120)


async def test_the_demo_ends_by_itself_and_names_its_log(tmp_path: Path) -> None:
    ended = await lmam("demo", "--pace", "fast", state=tmp_path)
    assert ended.code == 0, ended.err
    assert "observed expression" in ended.out
    assert "sidecar transcript sample.vtt" in ended.out
    last = ended.out.rstrip().splitlines()[-1]
    assert last.startswith("log: ")
    finals = read_log(Path(last.removeprefix("log: ")))
    assert len(finals) >= 10
    for e in finals:
        if e.text:
            assert e.text in ended.out


async def test_two_demos_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    first = await start("demo", "--pace", "fast", state=tmp_path)
    second = await start("demo", "--pace", "fast", state=tmp_path)
    for ended in (await end(first), await end(second)):
        assert ended.code == 0, ended.err


async def test_watch_shows_what_another_process_publishes(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker:
        watching = await start("watch", broker.url, state=tmp_path)
        assert watching.stderr is not None
        assert b"watching" in await watching.stderr.readline()
        ended = await lmam("analyze", str(SAMPLE), "--mqtt", broker.url, state=tmp_path)
        assert ended.code == 0, ended.err
        seen = b""
        assert watching.stdout is not None
        while b"stopped: conversation" not in seen:
            seen += await watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        last = await end(watching)
    assert last.code == 0, last.err
    assert b"joy" in seen
    assert "Traceback" not in last.err


async def test_purge_removes_the_log_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert (await lmam("analyze", str(SAMPLE), "--out", str(log), state=tmp_path)).code == 0
    conversation = EstimateV1.model_validate_json(log.read_text().splitlines()[0]).conversation
    ended = await lmam("purge", conversation, "--state-dir", str(tmp_path), state=tmp_path)
    assert ended.code == 0, ended.err
    assert "log.jsonl" in ended.out
    assert not log.exists()
    again = await lmam("purge", conversation, "--state-dir", str(tmp_path), state=tmp_path)
    assert "nothing is kept" in again.out


async def test_an_unreachable_broker_keeps_the_finals_and_says_so(tmp_path: Path) -> None:
    ended = await lmam("analyze", str(SAMPLE), "--mqtt", "mqtt://127.0.0.1:1", state=tmp_path)
    assert "Traceback" not in ended.err
    assert "127.0.0.1:1" in ended.err + ended.out


@pytest.mark.parametrize("broken", ["missing", "truncated", "foreign"])
async def test_weights_that_cannot_be_used_are_named(tmp_path: Path, broken: str) -> None:
    from models.checkpoint import WEIGHTS

    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("text.safetensors", "text.tokenizer.json", "fusion.safetensors", "face.safetensors"):
        (folder / name).symlink_to(WEIGHTS / name)
    fusion = folder / "fusion.safetensors"
    content = fusion.read_bytes()
    fusion.unlink()
    if broken == "truncated":
        fusion.write_bytes(content[: len(content) // 2])
    elif broken == "foreign":
        fusion.symlink_to(WEIGHTS / "face.safetensors")
    ended = await lmam("analyze", str(SAMPLE), "--set", f"weights={folder}", state=tmp_path)
    assert ended.code == 1
    assert "fusion.safetensors" in ended.err
    assert "Traceback" not in ended.err


async def test_help_is_there_for_every_command(tmp_path: Path) -> None:
    for command in ("demo", "run", "analyze", "watch", "devices", "doctor", "purge", "schema", "models"):
        ended = await lmam(command, "--help", state=tmp_path)
        assert ended.code == 0
        assert "Usage" in ended.out


async def test_a_second_signal_is_not_needed(tmp_path: Path) -> None:
    process = await start("demo", state=tmp_path)
    assert process.stdout is not None
    while b"started" not in await process.stdout.readline():
        assert process.returncode is None
    await asyncio.sleep(1)
    process.send_signal(signal.SIGTERM)
    ended = await end(process)
    assert ended.code == 0, ended.err
    assert "interrupted" in ended.out
