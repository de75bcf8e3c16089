"""The queue on disk: order, durability, numbering, one owner."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamer.errors import PublishError
from streamer.outbox import NOT_RETAINED, RETAINED, Outbox, glance, outboxes

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox" / "a.sqlite") as box:
        box.begin("c1", START, "demo")
        yield box


def payloads(box: Outbox) -> list[bytes]:
    return [w.payload for w in box.peek(1000)]


def test_messages_come_back_in_order_until_they_are_acknowledged(outbox: Outbox) -> None:
    numbers = [outbox.append("c1", "utterance", b"%d" % i, sequence=i + 1) for i in range(5)]
    assert payloads(outbox) == [b"0", b"1", b"2", b"3", b"4"]
    assert [w.payload for w in outbox.peek(2)] == [b"0", b"1"]
    outbox.acknowledge(numbers[:2])
    assert payloads(outbox) == [b"2", b"3", b"4"]
    assert len(outbox) == 3
    assert outbox.bytes_waiting() == 3


def test_what_was_delivered_is_deleted_but_its_numbers_are_remembered(outbox: Outbox) -> None:
    outbox.acknowledge([outbox.append("c1", "utterance", b"x", sequence=7, end=12.5)])
    assert len(outbox) == 0
    assert outbox.last_sequence("c1") == 7
    known = outbox.known("c1")
    assert known is not None
    assert known.last_end == 12.5
    assert outbox.last_sequence("other") == 0


def test_a_number_never_goes_back(outbox: Outbox) -> None:
    outbox.append("c1", "utterance", b"x", sequence=7)
    outbox.append("c1", "utterance", b"y", sequence=3)
    assert outbox.last_sequence("c1") == 7


def test_row_numbers_are_never_used_twice(outbox: Outbox) -> None:
    """An acknowledgement that comes late must not delete a newer message."""
    first = outbox.append("c1", "utterance", b"x")
    outbox.acknowledge([first])
    assert outbox.append("c1", "utterance", b"y") > first


def test_a_resumed_conversation_keeps_its_start(outbox: Outbox) -> None:
    outbox.begin("c1", START + timedelta(hours=1), "research")
    assert outbox.started_at("c1") == START
    assert outbox.started_at("other") is None


def test_forgetting_deletes_one_conversation_and_overwrites_its_words(outbox: Outbox) -> None:
    outbox.begin("c2", START, "demo")
    outbox.append("c1", "utterance", b"a secret sentence " * 50, sequence=1)
    outbox.append("c2", "utterance", b"kept", sequence=1)
    assert outbox.forget("c1") == 1
    assert payloads(outbox) == [b"kept"]
    assert outbox.last_sequence("c1") == 1
    on_disk = b"".join(f.read_bytes() for f in outbox.path.parent.iterdir())
    assert b"secret" not in on_disk


def test_retained_state_is_to_clear_only_where_there_is_some(outbox: Outbox) -> None:
    outbox.begin("c2", START, "demo")
    outbox.retain("c1", RETAINED)
    for conversation in ("c1", "c2"):
        outbox.forget(conversation)
    assert outbox.to_clear() == ["c1"]
    outbox.retain("c1", NOT_RETAINED)
    assert outbox.to_clear() == []


def test_everything_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Outbox(path) as box:
        box.begin("c1", START, "demo")
        box.append("c1", "utterance", b"x", sequence=1)
        identity = box.identity()
        box.remember("broker", "mqtt://h")
    with Outbox(path) as box:
        assert payloads(box) == [b"x"]
        assert box.identity() == identity
        assert box.recall("broker") == "mqtt://h"
        assert box.recall("other") is None


def test_two_outboxes_have_two_identities(tmp_path: Path) -> None:
    with Outbox(tmp_path / "a.sqlite") as a, Outbox(tmp_path / "b.sqlite") as b:
        assert a.identity() != b.identity()


def test_a_second_owner_is_told_who_the_first_is(outbox: Outbox) -> None:
    with pytest.raises(PublishError, match=rf"in use by another process \(pid {os.getpid()}\)"):
        Outbox(outbox.path)


def test_it_can_be_looked_into_while_another_process_has_it(outbox: Outbox) -> None:
    outbox.append("c1", "utterance", b"x", sequence=4, end=2.0)
    known = glance(outbox.path, "c1")
    assert known is not None
    assert (known.last_sequence, known.last_end, known.purpose) == (4, 2.0, "demo")
    assert glance(outbox.path, "other") is None
    assert list(outboxes(outbox.path.parents[1])) == [outbox.path]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    with Outbox(tmp_path / "state" / "outbox" / "a.sqlite") as box:
        box.append("c1", "utterance", b"x")
        folder = box.path.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o600}


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(PublishError, match=r"a\.sqlite: the outbox cannot be used .* move it away"):
        Outbox(path)
    with pytest.raises(PublishError, match=r"a\.sqlite"):
        glance(path, "c1")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match=r"file/a\.sqlite: the outbox cannot be opened"):
        Outbox(tmp_path / "file" / "a.sqlite")


def test_a_full_disk_is_named_and_nothing_kept_is_lost(outbox: Outbox) -> None:
    outbox.append("c1", "utterance", b"kept", sequence=1)
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(PublishError, match="the disk is full"):
        outbox.append("c1", "utterance", bytes(100_000), sequence=2)
    assert payloads(outbox) == [b"kept"]
    assert outbox.last_sequence("c1") == 1


def test_syncing_works_at_any_time(outbox: Outbox) -> None:
    outbox.sync()
    outbox.append("c1", "utterance", b"x", sequence=1)
    outbox.sync()
    outbox.forget("c1")  # empties the write-ahead log
    outbox.sync()
    assert len(outbox) == 0


CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from streamer.outbox import Outbox
box = Outbox(Path(sys.argv[1]))
box.begin("c1", datetime.now(UTC), "demo")
for i in range(1, 100_000):
    box.append("c1", "utterance", b"%d" % i, sequence=i)
    print(i, flush=True)
"""


def test_a_killed_process_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(20):
            accepted = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        accepted = max([accepted, *(int(line) for line in child.stdout if line.endswith(b"\n"))])
    with Outbox(path) as box:  # the lock went with the process
        kept = [int(w.payload) for w in box.peek(100_000)]
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= accepted >= 20
        assert box.last_sequence("c1") == len(kept)


def test_deleted_rows_do_not_let_the_file_grow(outbox: Outbox) -> None:
    for i in range(300):
        outbox.acknowledge([outbox.append("c1", "utterance", bytes(2000), sequence=i + 1)])
    with sqlite3.connect(f"file:{outbox.path}?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA page_count").fetchone()[0] < 30
    db.close()
