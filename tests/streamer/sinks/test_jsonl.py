"""The log: a line for each final, private, whole after a crash, and purged when asked."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from streamer.channel import Channel
from streamer.clock import ManualClock
from streamer.context import Context
from streamer.conversations import logs
from streamer.errors import PublishError
from streamer.payloads import EstimateV1, Event
from streamer.sinks.jsonl import Config, JsonlSink
from tests.messages import context, estimate, health, session


async def write(config: Config, where: Context, events: Iterable[Event]) -> JsonlSink:
    inbox: Channel[Event] = Channel("sink", 100)
    for event in events:
        await inbox.send(event)
    inbox.close()
    sink = config.build(where)
    await sink.run(inbox, ManualClock())
    return sink


async def test_every_final_is_one_line_and_reads_back(tmp_path: Path) -> None:
    said = [session(), estimate(1, final=False), estimate(1), health(), estimate(2)]
    sink = await write(Config(path=tmp_path / "a.jsonl"), context(tmp_path), said)
    lines = sink.path.read_text(encoding="utf-8").splitlines()
    assert [EstimateV1.model_validate_json(line) for line in lines] == [estimate(1), estimate(2)]


async def test_partials_are_written_when_asked_for(tmp_path: Path) -> None:
    said = [estimate(1, final=False), estimate(1)]
    sink = await write(Config(path=tmp_path / "a.jsonl", partials=True), context(tmp_path), said)
    assert [json.loads(line)["final"] for line in sink.path.read_text().splitlines()] == [False, True]


async def test_a_line_can_be_read_as_soon_as_it_was_taken(tmp_path: Path) -> None:
    inbox: Channel[Event] = Channel("sink", 1)
    sink = Config(path=tmp_path / "a.jsonl").build(context(tmp_path))
    async with asyncio.TaskGroup() as group:
        group.create_task(sink.run(inbox, ManualClock()))
        await inbox.send(estimate(1))
        await inbox.send(estimate(2))
        await inbox.send(session())  # holds one: the first two were taken
        assert len(sink.path.read_text().splitlines()) == 2
        inbox.close()


async def test_the_path_may_name_the_conversation(tmp_path: Path) -> None:
    config = Config(path=tmp_path / "logs" / "{conversation}.jsonl")
    sink = await write(config, context(tmp_path, "c7"), [estimate(1, conversation="c7")])
    assert sink.path == tmp_path / "logs" / "c7.jsonl"
    assert logs(tmp_path / "state", "c7") == [sink.path]


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    sink = await write(Config(path=tmp_path / "logs" / "a.jsonl"), context(tmp_path), [estimate(1)])
    assert stat.S_IMODE(sink.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(sink.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("live", "append", "lines"), [(True, None, 2), (False, None, 1), (True, False, 1), (False, True, 2)]
)
async def test_live_goes_on_in_the_same_file_and_a_file_is_analysed_anew(
    tmp_path: Path, live: bool, append: bool | None, lines: int
) -> None:
    config = Config(path=tmp_path / "a.jsonl", append=append)
    for number in (1, 2):
        sink = await write(config, context(tmp_path, live=live), [estimate(number)])
    assert len(sink.path.read_text().splitlines()) == lines


async def test_a_conversation_that_goes_on_keeps_what_was_written(tmp_path: Path) -> None:
    config = Config(path=tmp_path / "{conversation}.jsonl")
    for number in (1, 2):
        sink = await write(config, context(tmp_path, first_sequence=number), [estimate(number)])
    assert len(sink.path.read_text().splitlines()) == 2


async def test_words_stay_inside_unless_the_run_lets_them_out(tmp_path: Path) -> None:
    quiet = context(tmp_path, publish_text=False)
    sink = await write(Config(path=tmp_path / "a.jsonl"), quiet, [estimate(1, text="a secret")])
    written = json.loads(sink.path.read_text())
    assert (written["text"], written["language"], written["sequence"]) == (None, None, 1)


async def test_a_purge_removes_the_conversation_and_nothing_else(tmp_path: Path) -> None:
    config = Config(path=tmp_path / "a.jsonl", append=True)
    await write(config, context(tmp_path, "c0"), [estimate(1, conversation="c0")])
    said = [estimate(1), estimate(2), session("purged"), estimate(3)]
    sink = await write(config, context(tmp_path), said)
    kept = [json.loads(line) for line in sink.path.read_text().splitlines()]
    assert [(k["conversation"], k["sequence"]) for k in kept] == [("c0", 1), ("c1", 3)]


async def test_a_purge_reaches_the_logs_of_earlier_runs(tmp_path: Path) -> None:
    earlier = await write(Config(path=tmp_path / "a.jsonl"), context(tmp_path), [estimate(1)])
    await write(Config(path=tmp_path / "b.jsonl"), context(tmp_path), [session("purged")])
    assert not earlier.path.exists()


@pytest.mark.parametrize("path", ["file/a.jsonl", "folder"])
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PublishError, match=rf"{path}: the log cannot be opened"):
        Config(path=tmp_path / path).build(context(tmp_path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match=r"/dev/full: the log cannot be written \(No space left"):
        await write(Config(path=Path("/dev/full"), append=True), context(tmp_path), [estimate(1)])


async def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk."""
    line = len(estimate(1).to_json()) + 1
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = Config(path=tmp_path / "a.jsonl").build(context(tmp_path))
    inbox: Channel[Event] = Channel("sink", 10)
    for number in range(1, 4):
        await inbox.send(estimate(number))
    inbox.close()
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * line + line // 2, hard))
    try:
        with pytest.raises(PublishError, match="the log cannot be written"):
            await sink.run(inbox, ManualClock())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [json.loads(line)["sequence"] for line in sink.path.read_text().splitlines()] == [1, 2]


CHILD = """
import asyncio, sys
from pathlib import Path
from streamer.channel import Channel
from streamer.clock import ManualClock
from streamer.sinks.jsonl import Config
from tests.messages import context, estimate

async def main():
    inbox = Channel("sink", 1)
    folder = Path(sys.argv[1])
    sink = Config(path=folder / "a.jsonl").build(context(folder))
    task = asyncio.create_task(sink.run(inbox, ManualClock()))
    for i in range(1, 100_000):
        await inbox.send(estimate(i))
        print(i, flush=True)

asyncio.run(main())
"""


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as child:
        assert child.stdout is not None
        for _ in range(50):
            sent = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
    lines = (tmp_path / "a.jsonl").read_bytes().split(b"\n")
    numbers = [json.loads(line)["sequence"] for line in lines[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= sent - 2  # one may wait in the channel, one may be at the sink
