"""Names that say nothing about people, numbers that go on, and a purge that leaves nothing."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamer.config import RunConfig
from streamer.conversations import (
    Resumed,
    file_conversation_id,
    logs,
    new_conversation_id,
    note_log,
    note_report,
    purge,
    report_mark,
    reports,
    resume,
    strike,
)
from streamer.errors import CaptureError, PublishError
from streamer.outbox import FOLDER, RETAINED, Outbox
from streamer.sinks.mqtt import Config
from tests import mosquitto
from tests.messages import BEGAN, context, estimate, listening, session
from tests.streamer.sinks.test_mqtt import config, publish

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@contextmanager
def outbox(state_dir: Path, name: str = "a") -> Iterator[Outbox]:
    with Outbox(state_dir / FOLDER / f"{name}.sqlite") as box:
        yield box


def write_log(path: Path, *numbers: int, conversation: str = "c1") -> None:
    with path.open("a") as file:
        file.writelines(estimate(n, conversation=conversation).to_json() + "\n" for n in numbers)


def test_new_names_are_unique_sort_by_time_and_pass_as_configuration() -> None:
    names = [new_conversation_id(START + timedelta(seconds=s)) for s in range(50)]
    assert names == sorted(names)
    assert len({new_conversation_id(START) for _ in range(50)}) > 45
    assert re.fullmatch(r"20260101-120000-[a-z2-9]{4}", names[0])
    assert RunConfig(conversation=names[0]).conversation == names[0]


def test_the_same_bytes_have_the_same_name(tmp_path: Path) -> None:
    for name, content in (("a.wav", b"one"), ("copy of a.wav", b"one"), ("b.wav", b"two")):
        (tmp_path / name).write_bytes(content)
    names = [file_conversation_id(tmp_path / n) for n in ("a.wav", "copy of a.wav", "b.wav")]
    assert names[0] == names[1] == "file-7692c3ad3540"
    assert names[2] != names[0]
    assert RunConfig(conversation=names[0]).conversation == names[0]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"no\.wav: cannot be read"):
        file_conversation_id(tmp_path / "no.wav")


def test_an_unknown_conversation_starts_at_one(tmp_path: Path) -> None:
    assert resume(tmp_path, "c1") == Resumed(1, 0.0)
    assert list(tmp_path.iterdir()) == []  # asking leaves nothing behind


def test_a_known_conversation_goes_on_after_its_last_number(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.begin("c1", START, "demo")
        for n in (1, 2, 3):
            box.acknowledge([box.append("c1", "utterance", b"x", sequence=n, end=10.0 * n)])
        # while the outbox is in use: another conversation of the same node may be running
        assert resume(tmp_path, "c1", START + timedelta(minutes=5)) == Resumed(4, 300.0)
        assert resume(tmp_path, "c2", START) == Resumed(1, 0.0)


def test_time_does_not_run_backwards_when_the_wall_clock_was_set_back(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.begin("c1", START, "demo")
        box.append("c1", "utterance", b"x", sequence=1, end=42.5)
    assert resume(tmp_path, "c1", START - timedelta(hours=1)) == Resumed(2, 42.5)


def test_of_several_outboxes_the_furthest_counts(tmp_path: Path) -> None:
    for name, sequence in (("a", 3), ("b", 8)):
        with outbox(tmp_path, name) as box:
            box.begin("c1", START, "demo")
            box.append("c1", "utterance", b"x", sequence=sequence)
    assert resume(tmp_path, "c1", START).first_sequence == 9


def test_without_an_outbox_the_log_says_where_to_go_on(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    write_log(log, 1, 2)
    write_log(log, 7, conversation="other")
    with log.open("a") as file:
        file.write('{"conversation": "c1", "sequ')  # torn by a crash
    note_log(tmp_path, "c1", log)
    assert resume(tmp_path, "c1", BEGAN + timedelta(seconds=60)) == Resumed(3, 60.0)


def test_a_log_that_was_moved_away_is_no_obstacle(tmp_path: Path) -> None:
    note_log(tmp_path, "c1", tmp_path / "gone.jsonl")
    assert resume(tmp_path, "c1") == Resumed(1, 0.0)


def test_a_broken_outbox_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "a.sqlite").write_bytes(b"nonsense " * 1000)
    with pytest.raises(PublishError, match=r"a\.sqlite"):
        resume(tmp_path, "c1")


def test_striking_removes_the_lines_of_one_conversation(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    write_log(log, 1, 2)
    write_log(log, 1, conversation="c2")
    assert strike(log, "c1") == 2
    assert [json.loads(line)["conversation"] for line in log.read_text().splitlines()] == ["c2"]
    assert strike(log, "c1") == 0
    assert strike(log, "c2") == 1
    assert not log.exists()
    assert strike(log, "c2") == 0
    assert list(tmp_path.iterdir()) == []


def test_striking_takes_a_torn_line_along(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    write_log(log, 1, conversation="c2")
    with log.open("a") as file:
        file.write('{"conversation":"c1","text":"half a sec')
    assert strike(log, "c1") == 1
    assert "half" not in log.read_text()


async def test_a_purge_of_nothing_does_nothing(tmp_path: Path) -> None:
    done = await purge(tmp_path, "c1")
    assert (done.removed, done.remaining) == ([], [])


async def test_a_purge_removes_log_outbox_and_retained_state(tmp_path: Path) -> None:
    where, log = context(tmp_path), tmp_path / "a.jsonl"
    write_log(log, 1)
    note_log(where.state_dir, "c1", log)
    broker = mosquitto.mosquitto(tmp_path, persistent=True)
    async with broker:
        await publish(config(broker.url), where, [session(), estimate(1)])
    sink = await publish(config(broker.url), where, [estimate(2)])  # not delivered
    assert sink.undelivered == 1
    async with broker, listening(broker.url) as ear:
        await ear.until(lambda e: e.on("/state"))
        done = await purge(where.state_dir, "c1")
        await ear.until(lambda e: e.on("/session"))
    assert done.remaining == []
    assert [r.split(": ", 1)[1] for r in done.removed] == [
        "1 lines",
        "1 messages that were not sent",
        "retained state affect/v1/lab/n1/conv/c1/state",
    ]
    assert ear.bodies("/state")[-1] == b""
    told = json.loads(ear.bodies("/session")[0])
    assert (told["event"], told["purpose"]) == ("purged", "demo")
    assert not log.exists()
    assert logs(where.state_dir, "c1") == []
    assert (await purge(where.state_dir, "c1")).removed == []


async def test_a_purge_says_what_remains_while_the_broker_is_away(tmp_path: Path) -> None:
    where = context(tmp_path)
    broker = mosquitto.mosquitto(tmp_path, persistent=True)
    async with broker:
        await publish(config(broker.url), where, [session(), estimate(1)])
    done = await purge(where.state_dir, "c1")
    assert done.removed == []
    (left,) = done.remaining
    assert "conv/c1/state is still there" in left
    assert "Connection refused" in left
    async with broker:
        assert (await purge(where.state_dir, "c1")).remaining == []


async def test_a_purge_uses_the_password_of_the_given_config(tmp_path: Path) -> None:
    where = context(tmp_path)
    async with mosquitto.with_password(tmp_path) as broker:
        options = config(broker.url, user=mosquitto.USER, password=mosquitto.PASSWORD)
        await publish(options, where, [estimate(1)])
        assert "user name or password" in (await purge(where.state_dir, "c1")).remaining[0]
        assert (await purge(where.state_dir, "c1", [options])).remaining == []


async def test_a_purge_borrows_the_login_and_keeps_the_topics(tmp_path: Path) -> None:
    """`--mqtt URL` on the command line knows nothing of site and node."""
    where = context(tmp_path)
    async with mosquitto.with_password(tmp_path) as broker:
        login = {"user": mosquitto.USER, "password": mosquitto.PASSWORD}
        await publish(config(broker.url, **login), where, [estimate(1)])
        done = await purge(where.state_dir, "c1", [Config(url=broker.url, **login)])
    assert done.remaining == []
    assert "affect/v1/lab/n1/conv/c1/state" in done.removed[0]


async def test_what_an_embedded_broker_retained_ended_with_it(tmp_path: Path) -> None:
    where = context(tmp_path)
    await publish(config(None, broker="embedded", port=0), where, [estimate(1)])
    done = await purge(where.state_dir, "c1")
    assert (done.removed, done.remaining) == ([], [])


async def test_a_running_process_keeps_its_outbox_and_that_is_said(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.begin("c1", START, "demo")
        box.retain("c1", RETAINED)
        done = await purge(tmp_path, "c1")
    assert "in use by another process" in done.remaining[0]


def test_a_run_that_only_logged_counts_beside_an_outbox(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.begin("c1", BEGAN, "demo")
        box.append("c1", "utterance", b"x", sequence=3)
    log = tmp_path / "a.jsonl"
    write_log(log, 4, 5)
    note_log(tmp_path, "c1", log)
    assert resume(tmp_path, "c1", BEGAN + timedelta(seconds=60)).first_sequence == 6


async def test_a_purge_deletes_the_reports_of_the_conversation_only(tmp_path: Path) -> None:
    mine, other, moved = (tmp_path / f"{name}.html" for name in ("mine", "other", "moved"))
    for path, conversation in ((mine, "c1"), (other, "c2")):
        path.write_text(f"<html><head>{report_mark(conversation)}</head>")
        note_report(tmp_path, conversation, path)
    note_report(tmp_path, "c1", moved)
    done = await purge(tmp_path, "c1")
    assert (done.removed, done.remaining) == ([f"{mine}: the report"], [])
    assert not mine.exists()
    assert other.exists()
    assert reports(tmp_path, "c1") == []
    assert reports(tmp_path, "c2") == [other]


async def test_a_purge_spares_what_has_since_taken_a_reports_place(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    note_report(tmp_path, "c1", path)
    path.write_text(f"<html><head>{report_mark('c2')}</head>")
    assert (await purge(tmp_path, "c1")).removed == []
    assert path.exists()


async def test_a_report_that_cannot_be_deleted_remains_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    note_report(tmp_path, "c1", tmp_path / "a.html")
    (left,) = (await purge(tmp_path, "c1")).remaining
    assert "a.html: cannot be deleted" in left
    assert reports(tmp_path, "c1") == [tmp_path / "a.html"]


async def test_a_registry_from_before_there_were_reports_is_used_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "conversations.sqlite") as db:
        db.execute("CREATE TABLE logs (conversation TEXT, path TEXT, PRIMARY KEY (conversation, path))")
    db.close()
    assert reports(tmp_path, "c1") == []
    note_report(tmp_path, "c1", tmp_path / "a.html")
    assert reports(tmp_path, "c1") == [tmp_path / "a.html"]
