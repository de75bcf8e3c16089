"""The commands. Each reads its options, builds one run and says how it ended."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from .errors import ConfigError

CONVERSATIONS = "Conversations"  # headings of the list of commands
MACHINE = "This machine"
RESEARCH = "Training and measuring"

app = typer.Typer(
    name="lmam",
    help="Reads the expression of people in a conversation, live, and publishes estimates over MQTT."
    " An estimate is an observer's reading of expression, never a person's inner state.",
    epilog="Begin with 'lmam demo', then 'lmam doctor' and 'lmam devices'; 'lmam COMMAND --help' tells more."
    " Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 stopped. Environment: LMAM_WEIGHTS"
    " (folder of pulled weights), LMAM_MQTT_PASSWORD, LMAM_LOG (INFO and DEBUG say more),"
    " LMAM__TABLE__KEY (any configuration value).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(
    help="Weights on this machine: what there is, fetching more, checking them.", no_args_is_help=True
)
app.add_typer(models, name="models", rich_help_panel=MACHINE)
bench = typer.Typer(help="What the parts of this program cost, and how well they do.", no_args_is_help=True)
app.add_typer(bench, name="bench", rich_help_panel=RESEARCH)
data_app = typer.Typer(help="Corpora: what they hold, what stands twice, features.", no_args_is_help=True)
app.add_typer(data_app, name="data", rich_help_panel=RESEARCH)

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a configuration value, such as segmenter.max_speech=10 or transcriber.kind=none; may be"
        " given several times. docs/configuration.md has every key.",
    ),
]
Mqtt = Annotated[
    str | None,
    typer.Option(
        "--mqtt",
        metavar="URL",
        help="Publish to this broker, in place of a configured one: mqtt://user@host:1883, mqtts://, ws:// or"
        " wss://. The password is best given as LMAM_MQTT_PASSWORD.",
    ),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", envvar="LMAM_DATA", help="The folder that holds a folder for each corpus."
    ),
]
Pace = Annotated[
    str,
    typer.Option(
        "--pace",
        metavar="fast|N",
        help="fast: as fast as possible, and nothing is left out; N (0.1 to 100): N times real time, as if it"
        " were live: what cannot keep up is left out and counted.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lmam {version('lmam-streamer')}")
        raise typer.Exit


@app.callback()
def root(
    show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of `lmam` itself."""


@app.command(rich_help_panel=CONVERSATIONS)
def demo(
    transcribe: Annotated[
        bool,
        typer.Option(
            "--transcribe", help="Recognise the speech instead of reading the transcript beside the sample."
        ),
    ] = False,
    mqtt: Mqtt = None,
    pace: Pace = "1.0",
    settings: Settings = None,
) -> None:
    """See it work on a bundled conversation of 55 s; needs no devices, no broker and no network.

    Estimates appear as they happen, and a broker of its own publishes them: 'lmam watch mqtt://127.0.0.1'
    in another terminal shows them, too. It ends with a summary and the path of its log.
    """
    from .commands import demo as command

    command.run(transcribe=transcribe, mqtt=mqtt, pace=_pace(pace), settings=settings or [])


@app.command(rich_help_panel=CONVERSATIONS)
def run(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            help="A TOML file; begin with a copy of configs/live.toml. It declares purpose"
            " and consent, without which nothing is captured (docs/privacy.md).",
        ),
    ],
    mqtt: Mqtt = None,
    settings: Settings = None,
) -> None:
    """Capture live what CONFIG names (microphones, cameras) and publish estimates until Ctrl-C.

    Ctrl-C finishes what is being said and delivers it; a second one stops at once. What a broker did not
    take is kept, and sent by the next run.
    """
    from .commands import live as command

    command.run(config, mqtt=mqtt, settings=settings or [])


@app.command(rich_help_panel=CONVERSATIONS)
def analyze(
    media: Annotated[
        Path,
        typer.Argument(
            metavar="MEDIA",
            help="A sound or video file. Its words come from MEDIA.vtt or .srt beside it,"
            " where there is one and no Whisper weights are.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write final estimates here, one line of JSON each; what an earlier analysis wrote is"
            " replaced, unless a conversation is named (--set conversation=NAME), which goes on.",
        ),
    ] = None,
    pace: Pace = "fast",
    mqtt: Mqtt = None,
    purpose: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="What the estimates are for: research, personal, robot, medical, safety, demo or other.",
        ),
    ] = "research",
    settings: Settings = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Also write the figures of the run as JSON: seconds, utterances, memory.",
        ),
    ] = None,
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


@app.command(rich_help_panel=CONVERSATIONS)
def inspect(
    media: Annotated[
        Path,
        typer.Argument(metavar="MEDIA", help="A sound or video file, read as by 'lmam analyze'."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where the report goes; default: MEDIA's name with .inspect.html, in this folder.",
        ),
    ] = None,
    transcriber: Annotated[
        str | None,
        typer.Option(
            "--transcriber",
            metavar="KIND",
            help="Where words come from: auto (default), sidecar, faster_whisper, pocketsphinx or none.",
        ),
    ] = None,
    purpose: Annotated[
        str,
        typer.Option(
            metavar="WORD",
            help="What the estimates are for: research, personal, robot, medical, safety, demo or other.",
        ),
    ] = "research",
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is already there.")] = False,
    settings: Settings = None,
) -> None:
    """Make one HTML page of a recording: sound, words, faces, every modality's reading, where they disagree.

    The page holds pictures of the faces, the course of the sound and the words of those recorded. They are
    written only because this report was asked for, and to this file only ('lmam purge' deletes it, too). It
    opens in any browser, fetches nothing and needs no script.
    """
    from .commands import inspect as command

    command.run(
        media, out=out, transcriber=transcriber, purpose=purpose, settings=settings or [], force=force
    )


@app.command(rich_help_panel=CONVERSATIONS)
def watch(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="The broker that nodes publish to: mqtt://user@host:1883, mqtts://, ws://."
        ),
    ],
    prefix: Annotated[
        str, typer.Option(metavar="TOPIC", help="First part of the topics, as the nodes' sinks have it.")
    ] = "affect/v1",
) -> None:
    """Show what all nodes at a broker publish, as on their own console, until Ctrl-C."""
    from .commands import watch as command

    command.run(url, prefix)


@app.command(rich_help_panel=MACHINE)
def devices(json_file: Json = None) -> None:
    """List microphones and cameras, by the names and numbers that a configuration uses."""
    from .commands import devices as command

    command.run(json_file)


@app.command(rich_help_panel=MACHINE)
def doctor(
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt", metavar="URL", help="Also look whether this broker answers: mqtt://user@host:1883, ..."
        ),
    ] = None,
    json_file: Json = None,
) -> None:
    """Check this machine: each part is OK, or says what to do. Exits 1 where something needed is missing."""
    from .commands import doctor as command

    command.run(mqtt, json_file)


@data_app.command("check")
def data_check(
    names: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="A corpus of --data (meld, mosi, ...), or a path to one."),
    ],
    data: DataFolder = None,
    json_file: Json = None,
) -> None:
    """Print counts, labels and gaps of corpora, and what stands twice, within each and between them."""
    from .commands import data as command

    command.check(names, data, json_file)


@data_app.command("extract")
def data_extract(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="MELD.Raw, unpacked.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the features go.")],
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes; default: one for each core.")
    ] = None,
    text: Annotated[str, typer.Option("--text", metavar="NAME", help="For the words: hf:NAME.")] = "",
    voice: Annotated[
        str, typer.Option("--voice", metavar="NAME", help="For the sound: hf:NAME or torchaudio:NAME.")
    ] = "",
    face: Annotated[
        str, typer.Option("--face", metavar="NAME", help="For faces: hf:NAME or timm:NAME.")
    ] = "",
) -> None:
    """Make features of recorded clips with the encoders that run live; an interrupted run goes on.

    Big encoders may be named in their place (docs/encoders.md): a directory or a model of a hub.
    """
    from .commands import extract as command

    command.run(folder, out, jobs, text=text, voice=voice, face=face)


@models.command("list")
def models_list() -> None:
    """What ships, what was pulled and what can be pulled, with licences and the folder they are in."""
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


@bench.command("params")
def bench_params(
    dim: Annotated[int, typer.Option(min=1, help="Width of each modality.")] = 512,
    modalities: Annotated[int, typer.Option(min=1, help="How many there are.")] = 3,
    window: Annotated[int, typer.Option(min=1, help="Utterances remembered.")] = 16,
    json_file: Json = None,
) -> None:
    """Weights, arithmetic and memory of every fusion, worked out from the fusion itself."""
    from .commands import bench as command

    command.params(dim, modalities, window, json_file)


@bench.command("perception")
def bench_perception(
    data: DataFolder = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PART,...",
            help="Of size, text, affect, voice, face, speakers and fusion; default: all of them.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FOLDER", help="Weights to measure; default: those that ship."),
    ] = None,
    json_file: Json = None,
) -> None:
    """What the weights that ship reach and cost, beside simple baselines run on the same data.

    Takes under 15 minutes on two cores; needs the extras 'train' and 'bench' (scikit-learn, soundfile,
    pyannote.metrics). A part whose data or packages are missing is left out, and said at the end (exit 1).
    """
    from .commands import perception as command

    command.perception(data, only or [], weights, json_file)


@app.command(rich_help_panel=RESEARCH)
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="One of configs/models/*.toml.")],
    data: DataFolder = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the run is kept; default: runs/CONFIG-seedN."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=2**63 - 1, help="Default: the configuration's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in --out.")] = False,
    accelerator: Annotated[
        str, typer.Option("--accelerator", metavar="auto|cpu|gpu", help="Where to train.")
    ] = "auto",
    devices: Annotated[int, typer.Option("--devices", min=1, help="More than one train together.")] = 1,
    json_file: Json = None,
) -> None:
    """Train a conversation model; needs the extra 'train'."""
    from .commands import training as command

    command.train(
        config,
        data,
        out=out,
        seed=seed,
        resume=resume,
        accelerator=accelerator,
        devices=devices,
        json_file=json_file,
    )


@app.command(rich_help_panel=RESEARCH)
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A model of 'lmam train'.")],
    data: DataFolder = None,
    split: Annotated[
        str, typer.Option("--split", metavar="train|dev|test", help="What to measure on.")
    ] = "test",
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="MODALITY", help="Measure with it missing; may come twice."),
    ] = None,
    word_errors: Annotated[
        float, typer.Option("--word-errors", metavar="SHARE", help="Of test's words made wrong, 0 to 1.")
    ] = 0.0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Draw confusion and reliability into it.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Measure a trained model: accuracy, F1, each class, calibration."""
    from .commands import training as command

    command.evaluate(
        checkpoint,
        data,
        split=split,
        without=without or [],
        word_errors=word_errors,
        out=out,
        json_file=json_file,
    )


@app.command(rich_help_panel=RESEARCH)
def export(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(metavar="CHECKPOINT", help="A model of 'lmam train'; default: the one that ships."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.onnx", help="The file to write.")] = Path(
        "step.onnx"
    ),
    turns: Annotated[
        int | None,
        typer.Option(
            "--turns", metavar="N", min=1, help="For one that looks ahead: over the last N utterances."
        ),
    ] = None,
) -> None:
    """Write the streaming step of a model as ONNX, checked against torch; needs the extra 'export'.

    One utterance and the state of the conversation go in, logits and the next state come out: docs/export.md
    has what they are, and a caller in ten lines.
    """
    from .commands import export as command

    command.export(checkpoint, out, turns)


@app.command(rich_help_panel=RESEARCH)
def sweep(
    configs: Annotated[
        list[str], typer.Argument(metavar="CONFIG...", help="Configurations; the first is the baseline.")
    ],
    data: DataFolder = None,
    seeds: Annotated[
        list[str] | None,
        typer.Option("--seeds", metavar="SEED...", help="0 1 2, 0,1,2 or 0-4; default: 0 to 4."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs at the same time.")] = 1,
    results: Annotated[
        Path,
        typer.Option("--json", metavar="FILE", help="Keeps the rows; what it holds is not run again."),
    ] = Path("results/sweep.jsonl"),
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="CONFIG", help="What the others are compared with.")
    ] = None,
) -> None:
    """Train configurations over seeds and compare them in one table; goes on where it was stopped."""
    from .commands import sweep as command

    command.run(configs, data, seeds=seeds or ["0-4"], jobs=jobs, results=results, baseline=baseline)


@app.command(rich_help_panel=CONVERSATIONS)
def purge(
    conversation: Annotated[
        str, typer.Argument(metavar="CONVERSATION", help="Its id, as console, log and estimates have it.")
    ],
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="URL",
            help="The broker it was published to, where that needs a password that is no longer known.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where its run kept outboxes and logs; default: the user's state folder."
        ),
    ] = None,
) -> None:
    """Remove a conversation everywhere it was kept: log, outbox, retained state on the broker."""
    from .commands import purge as command

    command.run(conversation, mqtt, state_dir)


@app.command(rich_help_panel=MACHINE)
def enroll(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="The person's name; without one: list who is enrolled.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A sound or video file in which only this person speaks."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete what is kept of NAME.")] = False,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="The speaker encoder's pretrained.pt; default: the package resemblyzer's."
        ),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="As in the configuration that is to know the voice.")
    ] = None,
) -> None:
    """Store what a voice is like, so that runs with speakers.enrolled = true call it by its name.

    That is biometric data: do it only with the person's explicit consent (docs/privacy.md).
    """
    from .commands import enroll as command

    if remove and (not name or file is not None):
        raise ConfigError("lmam enroll NAME --remove: expected a name, and no file")
    if not name:
        command.show(state_dir)
    elif remove:
        command.forget(name, state_dir)
    elif file is None:
        raise ConfigError("lmam enroll NAME FILE: name a recording of that person, or --remove")
    else:
        command.enroll(name, file, weights, state_dir)


@app.command(rich_help_panel=MACHINE)
def schema(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="estimate.v1, health.v1, ...; without one: list them.")
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
