"""From a configuration to a graph that is ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from models.checkpoint import WEIGHTS, CheckpointError

from .config import RunConfig, Table, parse, plugin
from .context import Context, Session
from .errors import ConfigError, EncodeError
from .join import Join
from .payloads import InfoV1, ModelV1
from .pipeline import Fusion as Fusing
from .pipeline import Pipeline
from .seams import Sink, Source

if TYPE_CHECKING:
    from models.encoders.affect import Affect
    from models.encoders.voice import VoiceNet
    from models.fusion_weights import Fusion

    from .segmenter import VoiceMeter

FILES = frozenset({"media"})  # kinds of source that are no live capture
BESIDE = frozenset({"auto", "sidecar"})  # kinds of transcriber that read a transcript beside a file


def is_live(config: RunConfig) -> bool:
    return any(table.get("kind") not in FILES for table in config.source)


def require_consent(config: RunConfig, where: str) -> None:
    """Nothing is captured before its purpose and, live, the consent of those present are declared.

    Raises:
        ConfigError: says which lines to add.
    """
    missing = []
    if config.purpose is None:
        missing.append('purpose = "personal"    # or research, robot, medical, safety, demo, other')
    if config.consent is None and is_live(config):
        missing.append(
            'consent = "informed"    # or explicit (each person agreed), self (only you are captured)'
        )
    if missing:
        raise ConfigError(
            f"{where}: nothing is captured before its purpose is declared"
            f"{' and those present have been told' if is_live(config) else ''}; add at the top:\n\n"
            + "\n".join(f"    {line}" for line in missing)
            + "\n\nPeople present must be told that their expression is read (EU AI Act Art. 50(3));"
            " see docs/privacy.md."
        )


def choose_device(wanted: str) -> str:
    """``auto`` becomes ``cuda`` where it works, else ``cpu``.

    Raises:
        ConfigError: ``cuda`` was asked for and is not usable.
    """
    import torch

    usable = torch.cuda.is_available()
    if wanted == "cuda" and not usable:
        raise ConfigError(
            f"device = 'cuda': this torch ({torch.__version__}) sees no usable GPU; use device = 'auto'"
            " or install the GPU build (docs/install.md)"
        )
    return "cuda" if usable and wanted != "cpu" else "cpu"


@runtime_checkable
class Checked(Protocol):
    """A sink's options that can tell at the start what would fail later."""

    def check(self, context: Context) -> None:
        """Raises `ConfigError`."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Trained weights, loaded once and shared by every conversation.

    ``affect`` is None where a folder has no head of valence and arousal.
    """

    text: Any
    fusion: Fusion
    voice: VoiceNet | None = None  # None: the fusion does not read what it says
    affect: Affect | None = None

    def facts(self) -> list[dict[str, Any]]:
        """What the headers of fusion, voice network and head say."""
        return [self.fusion.meta, *(n.meta for n in (self.voice, self.affect) if n)]


def load_networks(weights: Path | None, device: str) -> Networks:
    """Text encoder, fusion and, where it reads that, voice network from ``weights``; and the head of valence
    and arousal, where there is one.

    ``weights`` is a folder; None: those that ship.

    Raises:
        EncodeError: a file is missing, truncated or of another model, or the head belongs to others.
    """
    import torch

    from models.encoders.affect import load_affect
    from models.encoders.text import TextEncoder
    from models.encoders.voice import VoiceNet
    from models.fusion_weights import load_fusion

    torch.set_num_threads(1)
    folder = weights or WEIGHTS
    try:
        text = TextEncoder.load(folder / "text.safetensors", device)
        fusion = load_fusion(folder / "fusion.safetensors", device)
        width = fusion.net.config.voice
        voice = VoiceNet.load(folder / "voice.safetensors") if width else None
        path = folder / "affect.safetensors"
        affect = load_affect(path, device, fusion.labels) if path.exists() else None
    except CheckpointError as error:
        raise EncodeError(str(error)) from error
    if voice is not None and voice.config.embedding != width:
        raise EncodeError(
            f"{folder / 'voice.safetensors'}: its embedding has {voice.config.embedding} numbers, the fusion"
            f" beside it reads {width}; use the two that were trained together"
        )
    return Networks(text, fusion, voice, affect)


def build_sources(config: RunConfig, context: Context, where: str) -> list[Source]:
    """Raises ConfigError where there is none."""
    if not config.source:
        raise ConfigError(
            f'{where}: nothing to listen to; add a [[source]] table, for example kind = "microphone"'
        )
    return [
        plugin("streamer.sources", table, f"{where} [[source]] {i}").build(context)
        for i, table in enumerate(config.source)
    ]


def build_sinks(config: RunConfig, context: Context, where: str) -> list[Sink]:
    return [
        plugin("streamer.sinks", table, f"{where} [[sink]] {i}").build(context)
        for i, table in enumerate(config.sink)
    ]


def check(config: RunConfig, context: Context, where: str) -> None:
    """Find what is wrong with the tables of stages and sinks, before networks are loaded.

    Raises:
        ConfigError: an unknown kind or key, an impossible value, a log that cannot be written.
    """
    from .encoders.face import Config as FaceConfig

    plugin("streamer.vad", config.vad, f"{where} [vad]")
    plugin("streamer.transcribers", transcriber_table(config), f"{where} [transcriber]")
    plugin("streamer.speakers", config.speakers, f"{where} [speakers]")
    plugin_face(FaceConfig, config, where)
    for i, table in enumerate(config.sink):
        options = plugin("streamer.sinks", table, f"{where} [[sink]] {i}")
        if isinstance(options, Checked):
            options.check(context)


def build(
    config: RunConfig,
    context: Context,
    networks: Networks,
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    where: str = "configuration",
) -> Pipeline:
    """Wire ``sources`` to ``sinks`` through the stages that ``config`` names."""
    from models.encoders.prosody import ProsodyAccumulator
    from models.encoders.spoken import SpokenMeter

    from .encoders.face import Config as FaceConfig
    from .encoders.face import NoFaces
    from .encoders.features import FeatureEncoder
    from .faces.pool import pool
    from .segmenter import Segmenter

    session = context.session
    tracks = frozenset[str]().union(*(s.tracks for s in sources))
    vad = plugin("streamer.vad", config.vad, f"{where} [vad]").build(context)
    words = plugin("streamer.transcribers", transcriber_table(config), f"{where} [transcriber]")
    channels = max((getattr(s, "channels", 1) for s in sources), default=1)
    transcriber = words.build(replace(context, channels=channels))
    tagged = getattr(transcriber, "tagged", False)
    meter: Callable[[], VoiceMeter] = ProsodyAccumulator if networks.voice is None else SpokenMeter
    voices = plugin("streamer.speakers", config.speakers, f"{where} [speakers]")
    face = plugin_face(FaceConfig, config, where)
    return Pipeline(
        sources=sources,
        segmenter=Segmenter(vad, config.segmenter, meter, channels),
        face_encoder=face.build(context.device) if networks.fusion.reads[2] else NoFaces(),
        join=Join(
            config.join,
            audio="audio" in tracks,
            video="video" in tracks,
            live=session.live,
            channels=channels,
        ),
        transcriber=transcriber,
        encoder=FeatureEncoder(
            networks.text,
            pool,
            networks.fusion.prior.measures,
            transcriber.min_confidence,
            networks.fusion.reads,
            networks.voice,
        ),
        fusion=config.estimate.around(_fusion(networks, session)),
        sinks=sinks,
        model=model_info(networks, transcriber.name),
        speakers=voices.build(replace(context, channels=channels, tagged=tagged, meter=meter))
        if "audio" in tracks
        else None,
    )


def _fusion(networks: Networks, session: Session) -> Fusing:
    from .affect import WithAffect
    from .fusion import LmamFusion

    first = session.first_sequence
    fusion = LmamFusion(networks.fusion, f"{session.conversation}-{first}", first)
    return fusion if networks.affect is None else WithAffect(fusion, networks.affect)


def transcriber_table(config: RunConfig) -> Table:
    """Kinds that look for a transcript beside a file are told which file is read, unless the config says."""
    table = dict(config.transcriber)
    read = next((source.get("path") for source in config.source if source.get("kind") == "media"), None)
    if read is not None and table.get("kind") in BESIDE and not {"media", "path"} & table.keys():
        table["media"] = read
    return table


def plugin_face(cls: type[Any], config: RunConfig, where: str) -> Any:
    table = dict(config.face)
    if config.weights is not None:
        table.setdefault("weights", config.weights / "face.safetensors")
    return parse(cls, table, f"{where} [face]")


def model_info(networks: Networks, transcriber: str) -> ModelV1:
    f = networks.fusion
    return ModelV1(name=f.name, version=f.version, transcriber=transcriber, labels=list(f.labels))


def info(
    config: RunConfig, networks: Networks, transcriber: str, tracks: frozenset[str], voices: bool = False
) -> InfoV1:
    """What this node tells about itself; ``voices``: whether the speaker encoder is in use."""
    from models.encoders.speaker import COMMERCIAL_USE, LICENCE, PACKAGE

    modalities = ["text", "audio"] if "audio" in tracks else []
    return InfoV1(
        software={name: version(name) for name in ("lmam-streamer", "torch")},
        model=model_info(networks, transcriber),
        modalities=modalities + (["visual"] if "video" in tracks else []),
        purpose=config.purpose or "",
        consent=config.consent,
        exemption=config.exemption,
        publish_text=config.publish_text,
        commercial_use=_strictest(
            *(str(meta.get("commercial_use", "unclear")) for meta in networks.facts()),
            *((COMMERCIAL_USE,) if voices else ()),
        ),
        data_licences=_licences(networks) | ({PACKAGE: LICENCE} if voices else {}),
    )


def _licences(networks: Networks) -> dict[str, str]:
    """Data and licence, as the headers of the weights in use name them."""
    found: dict[str, str] = {}
    for meta in networks.facts():
        named = meta.get("data_licences", {})
        found |= named if isinstance(named, dict) else dict.fromkeys(map(str, named), "?")
    return found


def _strictest(*uses: str) -> str:
    return next((use for use in ("no", "unclear") if use in uses), "yes")
