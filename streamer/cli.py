"""The commands. Each reads its options, builds one run and says how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .errors import ConfigError

app = typer.Typer(
    name="lmam",
    help="Reads the expression of people in a conversation, live, and publishes estimates over MQTT."
    " An estimate is an observer's reading of expression, never a person's inner state.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(
    help="Weights on this machine: what there is, fetching more, checking them.", no_args_is_help=True
)
app.add_typer(models, name="models")

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set any configuration value, such as segmenter.max_speech=10."
    ),
]
Mqtt = Annotated[
    str | None,
    typer.Option("--mqtt", metavar="URL", help="Publish to this broker: mqtt://host, mqtts://, ws://."),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")]
Pace = Annotated[
    str,
    typer.Option("--pace", metavar="fast|N", help="As fast as possible and lossless, or N times real time."),
]


@app.command()
def demo(
    transcribe: Annotated[
        bool,
        typer.Option("--transcribe", help="Recognise the speech instead of reading the sidecar transcript."),
    ] = False,
    mqtt: Mqtt = None,
    pace: Pace = "1.0",
    settings: Settings = None,
) -> None:
    """Run the main job on the bundled sample, with a broker of its own; ends by itself with a summary."""
    from .commands import demo as command

    command.run(transcribe=transcribe, mqtt=mqtt, pace=_pace(pace), settings=settings or [])


@app.command()
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML file, such as configs/live.toml.")],
    mqtt: Mqtt = None,
    settings: Settings = None,
) -> None:
    """Capture live what CONFIG names and publish estimates until Ctrl-C."""
    from .commands import live as command

    command.run(config, mqtt=mqtt, settings=settings or [])


@app.command()
def analyze(
    media: Annotated[Path, typer.Argument(metavar="MEDIA", help="A sound or video file.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write final estimates as JSON lines.")
    ] = None,
    pace: Pace = "fast",
    mqtt: Mqtt = None,
    purpose: Annotated[str, typer.Option(help="What the estimates are for.")] = "research",
    settings: Settings = None,
    json_file: Json = None,
) -> None:
    """Read a recording: one estimate per utterance, the same every time."""
    from .commands import analyze as command
    from .commands.common import write_json

    report = command.run(
        media,
        out=out,
        pace=_pace(pace),
        mqtt=mqtt,
        purpose=purpose,
        settings=settings or [],
        json_file=json_file,
    )
    write_json(json_file, report)


@app.command()
def watch(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The broker of a running node: mqtt://host:port.")
    ],
    prefix: Annotated[str, typer.Option(help="Topics below this prefix.")] = "affect/v1",
) -> None:
    """Show what any running node publishes, until Ctrl-C."""
    from .commands import watch as command

    command.run(url, prefix)


@app.command()
def devices(json_file: Json = None) -> None:
    """List microphones and cameras."""
    from .commands import devices as command

    command.run(json_file)


@app.command()
def doctor(mqtt: Mqtt = None, json_file: Json = None) -> None:
    """Check this machine: each part is OK, or says what to do. Exits 1 where something needed is missing."""
    from .commands import doctor as command

    command.run(mqtt, json_file)


@models.command("list")
def models_list() -> None:
    """What ships, what was pulled and what can be pulled, with licences."""
    from .commands import weights as command

    command.show()


@models.command("pull")
def models_pull(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name of 'lmam models list', such as whisper-base.")
    ],
) -> None:
    """Download weights; nothing else in this program ever asks the network for them."""
    from .commands import weights as command

    command.fetch(name)


@models.command("verify")
def models_verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all that are here.")
    ] = None,
) -> None:
    """Check that weights are complete and what they say they are."""
    from .commands import weights as command

    command.check(names or [])


@app.command()
def purge(
    conversation: Annotated[str, typer.Argument(metavar="CONVERSATION", help="The id of the conversation.")],
    mqtt: Mqtt = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where outboxes are kept.")] = None,
) -> None:
    """Remove a conversation everywhere it was kept: log, outbox, retained state on the broker."""
    from .commands import purge as command

    command.run(conversation, mqtt, state_dir)


@app.command()
def schema(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="estimate.v1, health.v1, ...; empty: list them.")
    ] = "",
) -> None:
    """Print the JSON Schema of a published message."""
    from .payloads import SCHEMAS, json_schema

    if not name:
        typer.echo("\n".join(SCHEMAS))
    elif name in SCHEMAS:
        typer.echo(json.dumps(json_schema(name), indent=2))
    else:
        raise ConfigError(f"no schema {name!r}; known: {', '.join(SCHEMAS)}")


def _pace(text: str) -> float | None:
    """None for ``fast``, else the factor of real time."""
    if text == "fast":
        return None
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0.1 <= pace <= 100:
        raise ConfigError(f"--pace {text!r}: expected 'fast' or a number from 0.1 to 100, such as 1.0")
    return pace
