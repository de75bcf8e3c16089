"""Publishing: the profile, order and numbers, brokers that come and go, commands."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import jsonschema
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import ValidationError

from streamer.channel import Channel, Overflow
from streamer.clock import StreamClock
from streamer.context import Context
from streamer.errors import ConfigError, PublishError
from streamer.mqtt.broker import embedded_broker
from streamer.outbox import Outbox
from streamer.payloads import Event, SpeakerV1, json_schema, kept
from streamer.sinks.mqtt import Config, MqttSink
from tests import mosquitto
from tests.messages import INFO, Ear, LoudNotices, context, estimate, health, listening, session

BASE = "affect/v1/lab/n1"


def config(url: str | None, **options: Any) -> Config:
    return Config(url=url, site="lab", node="n1", **options)


class Run:
    """A sink at work: what is sent reaches it as it would from the graph."""

    def __init__(self, sink: MqttSink, context: Context) -> None:
        self.sink, self.context = sink, context
        self.inbox: Channel[Event] = Channel("sink", 256, Overflow.DROP_OLDEST, keep=kept)

    async def send(self, *events: Event) -> None:
        for event in events:
            await self.inbox.send(event)

    def problem(self) -> str:
        return self.context.notices.all().get("mqtt", "")

    async def until_problem(self, words: str) -> None:
        assert isinstance(self.context.notices, LoudNotices)
        await self.context.notices.until(words)


@asynccontextmanager
async def running(options: Config, where: Context) -> AsyncIterator[Run]:
    """The body's end is the end of the run."""
    run = Run(options.build(where), where)
    async with asyncio.TaskGroup() as group:
        group.create_task(run.sink.run(run.inbox, StreamClock()))
        yield run
        run.inbox.close()


async def publish(options: Config, where: Context, events: Iterable[Event]) -> MqttSink:
    async with running(options, where) as run:
        await run.send(*events)
    return run.sink


def sequences(ear: Ear) -> list[int]:
    return [json.loads(body)["sequence"] for body in ear.bodies("/utterance")]


def stopped(ear: Ear) -> bool:
    return b"stopped" in ear.bodies("/availability")


async def test_every_message_follows_the_profile_of_mqtt_5(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        async with running(config(broker.url), context(tmp_path)) as run:
            await run.send(session())
            await ear.until(lambda e: e.on("/session"))  # connected: nothing is dropped from here on
            await run.send(estimate(1, final=False), estimate(1), health())
            await ear.until(lambda e: e.on("/utterance") and e.on("/health"))
        await ear.until(stopped)
    first = {str(m.topic).removeprefix(f"{BASE}/"): m for m in reversed(ear.heard)}
    seen = {
        topic: (m.qos, getattr(m.properties, "MessageExpiryInterval", None)) for topic, m in first.items()
    }
    assert seen == {
        "availability": (1, None),
        "info": (1, None),
        "health": (0, 30),
        "conv/c1/session": (1, None),
        "conv/c1/partial": (0, 2),
        "conv/c1/utterance": (1, 86400),
        "conv/c1/state": (1, 600),
    }
    assert {m.properties.PayloadFormatIndicator for m in ear.heard if m.properties} == {1}
    types = {t: m.properties.ContentType for t, m in first.items() if m.properties}
    assert types.pop("availability") == "text/plain"
    assert set(types.values()) == {"application/json"}
    assert ear.bodies("/availability") == [b"online", b"stopped"]


async def test_a_newcomer_finds_what_is_retained_and_nothing_else(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker:
        await publish(
            config(broker.url), context(tmp_path), [session(), estimate(1), estimate(2, speaker="s1")]
        )
        async with listening(broker.url) as ear:
            await ear.until(lambda e: len(e.heard) == 3)
    assert {str(m.topic).removeprefix(f"{BASE}/"): m.retain for m in ear.heard} == {
        "availability": True,
        "info": True,
        "conv/c1/state": True,
    }
    state = json.loads(ear.bodies("/state")[0])
    assert state["latest"]["sequence"] == 2
    assert sorted(state["speakers"]) == ["s0", "s1"]
    assert ear.bodies("/info") == [INFO.to_json().encode()]
    assert ear.bodies("/availability") == [b"stopped"]


async def test_a_speaker_who_turned_out_to_be_another_leaves_the_state(tmp_path: Path) -> None:
    first, third = estimate(1, speaker="s1"), estimate(3)
    third = third.model_copy(update={"speaker": SpeakerV1(id="s0", merged=["s1"])})
    async with mosquitto.mosquitto(tmp_path) as broker:
        await publish(config(broker.url), context(tmp_path), [session(), first, estimate(2), third])
        async with listening(broker.url) as ear:
            await ear.until(lambda e: bool(e.bodies("/state")))
    assert sorted(json.loads(ear.bodies("/state")[0])["speakers"]) == ["s0"]


async def test_every_message_obeys_its_schema(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        async with running(config(broker.url), context(tmp_path)) as run:
            await run.send(session())
            await ear.until(lambda e: e.on("/session"))
            await run.send(estimate(1, final=False), estimate(1, text=None), health())
            await ear.until(lambda e: e.on("/utterance") and e.on("/health"))
        await ear.until(stopped)
    bodies = [json.loads(bytes(m.payload)) for m in ear.heard if not str(m.topic).endswith("/availability")]
    assert {body["schema"] for body in bodies} == {
        "estimate.v1",
        "health.v1",
        "info.v1",
        "session.v1",
        "state.v1",
    }
    for body in bodies:
        jsonschema.validate(body, json_schema(body["schema"]), format_checker=jsonschema.FormatChecker())


async def test_the_bytes_on_the_wire_are_the_message(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        await publish(config(broker.url), context(tmp_path), [estimate(1), estimate(2)])
        await ear.until(stopped)
    assert ear.bodies("/utterance") == [estimate(n).to_json().encode() for n in (1, 2)]


async def test_words_stay_inside_unless_the_run_lets_them_out(tmp_path: Path) -> None:
    quiet = context(tmp_path, publish_text=False)
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        async with running(config(broker.url), quiet) as run:
            await run.send(session())
            await ear.until(lambda e: e.on("/session"))
            await run.send(estimate(1, text="a secret", final=False), estimate(1, text="a secret"))
        await ear.until(stopped)
    assert len(ear.on("/partial")) == len(ear.on("/utterance")) == 1
    assert not any(b"secret" in bytes(m.payload) for m in ear.heard)


@pytest.mark.parametrize("number", [100])
async def test_many_finals_arrive_in_order(tmp_path: Path, number: int) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        sink = await publish(config(broker.url), context(tmp_path), map(estimate, range(1, number + 1)))
        await ear.until(stopped)
    assert sequences(ear) == list(range(1, number + 1))
    assert (sink.undelivered, sink.summary()) == (0, None)


async def test_the_embedded_broker_serves_subscribers(tmp_path: Path) -> None:
    options = config(None, broker="embedded", port=mosquitto.free_port())
    async with running(options, context(tmp_path)) as run:
        await mosquitto.until_open(options.port or 0)
        async with listening(f"mqtt://127.0.0.1:{options.port}", v5=False) as ear:
            await run.send(session(), *map(estimate, range(1, 6)))
            await ear.until(lambda e: len(e.on("/utterance")) == 5)
            run.inbox.close()
            await ear.until(stopped)
    assert sequences(ear) == [1, 2, 3, 4, 5]
    assert run.sink.undelivered == 0


async def test_a_broker_that_only_speaks_3_1_1_is_spoken_to_in_3_1_1(tmp_path: Path) -> None:
    async with embedded_broker(0) as url, listening(url, v5=False) as ear:
        async with running(config(url), context(tmp_path)) as run:
            await run.send(session(), estimate(1))
            await ear.until(lambda e: e.on("/utterance"))
        await ear.until(stopped)
    assert sequences(ear) == [1]


async def test_protocol_5_is_not_given_up_where_it_is_asked_for(tmp_path: Path) -> None:
    async with embedded_broker(0) as url, running(config(url, protocol="5"), context(tmp_path)) as run:
        await run.until_problem("away since")
        await run.send(estimate(1))
    assert run.sink.undelivered == 1


async def test_while_the_broker_is_away_finals_are_kept_and_the_rest_is_dropped(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{mosquitto.free_port()}"
    where = context(tmp_path)
    async with running(config(url), where) as run:
        await run.until_problem("Connection refused")
        await run.send(session(), estimate(1, final=False), estimate(1), health())
        await run.until_problem("2 messages kept on disk")
    assert run.sink.undelivered == 2
    assert run.sink.dropped == 2
    assert "2 messages" in (run.sink.summary() or "")
    assert run.problem() == ""  # a run that has ended has no problems


async def test_the_next_run_sends_first_what_the_last_one_could_not(tmp_path: Path) -> None:
    broker = mosquitto.mosquitto(tmp_path)
    await publish(config(broker.url), context(tmp_path), [estimate(1), estimate(2)])
    async with broker, listening(broker.url) as ear:
        await publish(config(broker.url), context(tmp_path, "c2"), [estimate(1, conversation="c2")])
        await ear.until(stopped)
    assert ear.bodies("/utterance") == [
        estimate(1).to_json().encode(),
        estimate(2).to_json().encode(),
        estimate(1, conversation="c2").to_json().encode(),
    ]


async def test_a_broker_that_comes_late_gets_everything_in_order(tmp_path: Path) -> None:
    broker = mosquitto.mosquitto(tmp_path)
    async with running(config(broker.url), context(tmp_path)) as run:
        await run.until_problem("away")
        await run.send(*map(estimate, range(1, 31)))
        await run.until_problem("30 messages kept")
        async with broker, listening(broker.url) as ear:
            await ear.until(lambda e: len(e.on("/utterance")) == 30)
            assert run.problem() == ""
            run.inbox.close()
            await ear.until(stopped)
    assert sequences(ear) == list(range(1, 31))


async def test_after_a_reconnect_everything_retained_is_published_again(tmp_path: Path) -> None:
    """This broker forgets: only a second birth can bring the retained messages back."""
    broker = mosquitto.mosquitto(tmp_path)
    async with running(config(broker.url), context(tmp_path)) as run:
        async with broker, listening(broker.url) as ear:
            await run.send(session(), estimate(1))
            await ear.until(lambda e: e.on("/state"))
        await run.until_problem("away since")
        async with broker, listening(broker.url) as ear:
            await ear.until(lambda e: e.on("/availability") and e.on("/info") and e.on("/state"))
    assert ear.bodies("/utterance") == []


async def test_a_wrong_password_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    async with mosquitto.with_password(tmp_path) as broker:
        wrong = config(broker.url, user=mosquitto.USER, password="wrong")
        async with running(wrong, context(tmp_path)) as run:
            await run.until_problem("refuses this user name or password")
            await run.send(estimate(1))
            await run.until_problem("1 messages kept")
        right = config(broker.url, user=mosquitto.USER, password=mosquitto.PASSWORD)
        login = {"username": mosquitto.USER, "password": mosquitto.PASSWORD}
        async with listening(broker.url, **login) as ear:
            await publish(right, context(tmp_path), [estimate(2)])
            await ear.until(stopped)
    assert sequences(ear) == [1, 2]


async def test_a_message_that_the_broker_forbids_is_kept_and_said(tmp_path: Path) -> None:
    acl = f"user {mosquitto.USER}\ntopic readwrite {BASE}/availability\ntopic read {BASE}/cmd/#\n"
    async with mosquitto.with_password(tmp_path, acl) as broker:
        options = config(broker.url, user=mosquitto.USER, password=mosquitto.PASSWORD)
        async with running(options, context(tmp_path)) as run:
            await run.send(estimate(1))
            await run.until_problem("Not authorized")
    assert run.sink.undelivered == 1


async def test_tls_with_a_password_and_our_own_authority(tmp_path: Path) -> None:
    async with mosquitto.with_tls(tmp_path) as broker:
        options = config(
            broker.url, ca=tmp_path / "cert.pem", user=mosquitto.USER, password=mosquitto.PASSWORD
        )
        sink = await publish(options, context(tmp_path), [estimate(1)])
        assert sink.undelivered == 0


async def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with mosquitto.with_tls(tmp_path) as broker:
        options = config(broker.url, user=mosquitto.USER, password=mosquitto.PASSWORD)
        async with running(options, context(tmp_path)) as run:
            await run.until_problem("certificate verify failed")
        await publish(options.model_copy(update={"insecure": True}), context(tmp_path), [])


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    async with mosquitto.with_tls(tmp_path, client_certificates=True) as broker:
        certificate = {"cert": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
        options = config(
            broker.url,
            ca=tmp_path / "cert.pem",
            user=mosquitto.USER,
            password=mosquitto.PASSWORD,
            **certificate,
        )
        sink = await publish(options, context(tmp_path), [estimate(1)])
        assert sink.undelivered == 0


async def test_websockets(tmp_path: Path) -> None:
    async with mosquitto.with_websockets(tmp_path) as broker:
        sink = await publish(config(broker.url), context(tmp_path), [session(), estimate(1)])
    assert sink.undelivered == 0


@asynccontextmanager
async def asking(url: str, v5: bool) -> AsyncIterator[tuple[Any, Ear]]:
    """A client that can publish commands and hears the answers on ``answers/me``."""
    version = aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311
    port = int(url.rpartition(":")[2])
    client = aiomqtt.Client("127.0.0.1", port, protocol=version)

    async def ask(verb: str, *, retain: bool = False) -> None:
        made = None
        payload = json.dumps({"response_topic": "answers/me", "correlation": "7"})
        if v5:
            make: Any = Properties
            made, payload = make(PacketTypes.PUBLISH), ""
            made.ResponseTopic, made.CorrelationData = "answers/me", b"\x07\xff"
        await client.publish(f"{BASE}/cmd/{verb}", payload, 1, retain, made)

    async with client, listening(url, topic="answers/#", v5=v5) as ear:
        yield ask, ear


async def pause() -> str:
    return "paused"


async def test_a_command_is_answered_on_its_response_topic(tmp_path: Path) -> None:
    where = context(tmp_path)
    where.control.on("pause", pause)
    async with (
        mosquitto.mosquitto(tmp_path) as broker,
        listening(broker.url) as ear,
        running(config(broker.url), where),
        asking(broker.url, v5=True) as (ask, answers),
    ):
        await ear.until(lambda e: e.on("/availability"))
        await ask("pause")
        await ask("dance")
        await answers.until(lambda e: len(e.heard) == 2)
    done, unknown = (json.loads(b) for b in answers.bodies("/me"))
    assert (done["verb"], done["ok"], done["message"]) == ("pause", True, "paused")
    assert (unknown["verb"], unknown["ok"]) == ("dance", False)
    assert "known: pause" in unknown["message"]
    jsonschema.validate(done, json_schema("reply.v1"))
    assert {m.properties.CorrelationData for m in answers.heard if m.properties} == {b"\x07\xff"}


async def test_a_command_over_3_1_1_says_in_its_payload_where_to_answer(tmp_path: Path) -> None:
    where = context(tmp_path)
    where.control.on("pause", pause)
    async with (
        embedded_broker(0) as url,
        listening(url, v5=False) as ear,
        running(config(url, protocol="3.1.1"), where),
        asking(url, v5=False) as (ask, answers),
    ):
        await ear.until(lambda e: e.on("/availability"))
        await ask("pause")
        await answers.until(lambda e: e.on("/me"))
    reply = json.loads(answers.bodies("/me")[0])
    assert (reply["ok"], reply["correlation"]) == (True, "7")


async def test_an_answer_that_is_not_allowed_does_not_disturb_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = context(tmp_path)
    where.control.on("pause", pause)
    login = {"username": mosquitto.USER, "password": mosquitto.PASSWORD}
    make: Any = Properties
    somewhere = make(PacketTypes.PUBLISH)
    somewhere.ResponseTopic = "forbidden/topic"
    async with mosquitto.with_password(tmp_path, f"user {mosquitto.USER}\ntopic affect/#\n") as broker:
        options = config(broker.url, user=mosquitto.USER, password=mosquitto.PASSWORD)
        other = aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5, **login)
        async with listening(broker.url, **login) as ear, running(options, where) as run, other:
            await ear.until(lambda e: e.on("/info"))
            await other.publish(f"{BASE}/cmd/pause", b"", 1, properties=somewhere)
            while "was not taken" not in caplog.text:
                await run.send(health())
                await ear.until(lambda e: e.on("/health"))
                ear.heard.clear()
            await run.send(estimate(1))
            await ear.until(lambda e: e.on("/utterance"))
            assert run.problem() == ""


async def test_a_retained_command_is_an_old_one_and_not_obeyed(tmp_path: Path) -> None:
    where = context(tmp_path)
    asked: list[str] = []

    async def note() -> str:
        asked.append("pause")
        return "paused"

    where.control.on("pause", note)
    async with mosquitto.mosquitto(tmp_path) as broker, asking(broker.url, v5=True) as (ask, answers):
        await ask("pause", retain=True)
        async with running(config(broker.url), where), listening(broker.url) as ear:
            await ear.until(lambda e: e.on("/availability"))
            await ask("dance")
            await answers.until(lambda e: e.heard)
    assert asked == []


async def test_a_purge_takes_back_what_is_kept_and_what_is_retained(tmp_path: Path) -> None:
    async with (
        mosquitto.mosquitto(tmp_path) as broker,
        listening(broker.url) as ear,
        running(config(broker.url), context(tmp_path)) as run,
    ):
        await run.send(session(), estimate(1))
        await ear.until(lambda e: e.on("/state"))
        await run.send(session("purged"))
        await ear.until(lambda e: b"" in e.bodies("/state"))
        await ear.until(lambda e: b"purged" in b"".join(e.bodies("/session")))
        await run.send(estimate(2))
        await ear.until(lambda e: json.loads(e.bodies("/state")[-1] or "{}"))
    state = json.loads(ear.bodies("/state")[-1])
    assert state["latest"]["sequence"] == 2  # the numbers go on, the words are gone


async def test_a_purge_while_the_broker_is_away_is_made_good_later(tmp_path: Path) -> None:
    """State that a broker retained, and finals that it never got."""
    with_state = mosquitto.mosquitto(tmp_path, persistent=True)
    where = context(tmp_path)
    async with running(config(with_state.url), where) as run:
        async with with_state, listening(with_state.url) as ear:
            await run.send(estimate(1))
            await ear.until(lambda e: e.on("/state"))
        await run.until_problem("away since")
        await run.send(estimate(2), session("purged"))
        await run.until_problem("1 messages kept")  # `purged` itself
        async with with_state, listening(with_state.url) as ear:
            await ear.until(lambda e: e.on("/session"))
            await ear.until(lambda e: b"online" in e.bodies("/availability")[-1:])
            run.inbox.close()
            await ear.until(stopped)
            async with listening(with_state.url) as late:
                await late.until(lambda e: e.on("/availability"))
    assert ear.bodies("/utterance") == []
    assert late.on("/state") == []


async def test_the_outbox_remembers_the_conversation(tmp_path: Path) -> None:
    where = context(tmp_path, offset=60.0)
    async with mosquitto.mosquitto(tmp_path) as broker:
        options = config(broker.url)
        await publish(options, where, map(estimate, (1, 2, 3)))
    with Outbox(options.outbox(where.state_dir)) as outbox:
        assert outbox.last_sequence("c1") == 3
        known = outbox.known("c1")
    assert known is not None
    assert known.last_end == 7.0


async def test_the_embedded_broker_takes_another_port_where_the_usual_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr("streamer.sinks.mqtt.USUAL_PORT", other.getsockname()[1])
        sink = await publish(config(None, broker="embedded"), context(tmp_path), [estimate(1)])
        assert sink.undelivered == 0
        chosen = config(None, broker="embedded", port=other.getsockname()[1]).build(context(tmp_path))
        with pytest.raises(PublishError, match="cannot be used"):
            await chosen.run(Channel("sink", 1), StreamClock())


async def test_two_processes_may_each_embed_a_broker(tmp_path: Path) -> None:
    options = config(None, broker="embedded", port=0)
    async with running(options, context(tmp_path)) as one, running(options, context(tmp_path)) as two:
        await one.send(estimate(1))
        await two.send(estimate(1))
    assert (one.sink.undelivered, two.sink.undelivered) == (0, 0)
    assert one.sink.url != two.sink.url


async def test_the_quality_of_service_can_be_chosen_where_nothing_must_be_kept(tmp_path: Path) -> None:
    async with mosquitto.mosquitto(tmp_path) as broker, listening(broker.url) as ear:
        options = config(broker.url, qos={"partial": 1, "state": 0})
        async with running(options, context(tmp_path)) as run:
            await run.send(session())
            await ear.until(lambda e: e.on("/session"))
            await run.send(estimate(1, final=False), estimate(1))
            await ear.until(lambda e: e.on("/state") and e.on("/partial"))
    assert (ear.on("/partial")[0].qos, ear.on("/state")[0].qos) == (1, 0)
    with pytest.raises(ValidationError, match="utterance"):
        config("mqtt://h", qos={"utterance": 0})


def test_two_processes_cannot_be_the_same_node(tmp_path: Path) -> None:
    options = config("mqtt://127.0.0.1:1")
    first = options.build(context(tmp_path))
    with pytest.raises(PublishError, match="give this one a node name"):
        options.build(context(tmp_path))
    first._outbox.close()


def test_no_password_is_stored(tmp_path: Path) -> None:
    options = config("mqtt://me:secret1@host", password="secret2")
    assert "secret" not in options.stored()
    assert Config.model_validate_json(options.stored()).outbox(tmp_path) == options.outbox(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give either url"),
        ({"url": "mqtt://h", "broker": "embedded"}, "give either url"),
        ({"url": "mqtt://h", "site": "a/b"}, "site"),
        ({"url": "mqtt://h", "node": "+"}, "node"),
        ({"url": "mqtt://h", "prefix": "a//b"}, "prefix"),
        ({"url": "http://h"}, "expected mqtt://host"),
        ({"url": "mqtt://h", "qos": 2}, "qos"),
    ],
)
def test_a_wrong_config_names_the_key(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config(**options)


def test_a_certificate_that_is_not_there_is_named_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.pem: not a certificate"):
        config("mqtts://h", ca=tmp_path / "no.pem").build(context(tmp_path))
