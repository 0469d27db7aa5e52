"""The systems that are compared: each is a server process of its own, with voices that it has prepared."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from oncue.client import Client, connect
from oncue.local_server import LocalServer
from oncue_eval.bench.listening import Heard, Line, listen
from oncue_eval.bench.process import ServerProcess
from oncue_eval.bench.settings import text
from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.subject import registered_voices

__all__ = ["FULL_SIZE", "Pipeline", "System", "connected", "model_label", "started", "unmeasured"]

FULL_SIZE = ("random:", "hub:")
"""What models of the public size begin with, where `--model` names one."""


class Pipeline(StrEnum):
    """What `oncue serve --pipeline` calls them."""

    ONCUE = "oncue"
    NAIVE = "naive"
    """Our modules in the public pipeline's shape: whole utterance, second latent pass, one request at a time."""
    CROSSFADE = "crossfade"
    """Chunks that do not know each other, cross-faded."""


@dataclass(frozen=True, slots=True)
class System:
    """A server, and how to ask it."""

    pipeline: Pipeline
    model: str
    """nano, full, or the name of a folder."""
    client: Client
    voices: tuple[str, ...]
    """Registered and prepared; utterances take them in turn."""
    process: ServerProcess
    first: Heard
    """The first utterance since it started (since we came, where it was there before)."""
    options: Mapping[str, Condition] = field(default_factory=dict)
    """Further conditions of every figure, such as the number of flow steps."""

    def figure(
        self, name: str, value: float | int | None, goal: Goal | None = None, /, **conditions: Condition
    ) -> Figure:
        """A figure with system, model and the machine's load among its conditions."""
        fixed: dict[str, Condition] = {"system": self.pipeline.value, "model": self.model}
        return Figure(name, value, {**fixed, **self.options, "load": os.getloadavg()[0], **conditions}, None, goal)


@asynccontextmanager
async def started(
    pipeline: Pipeline,
    model: str | None,
    clips: Sequence[bytes],
    options: Sequence[str] = (),
    conditions: Mapping[str, Condition] | None = None,
    first_audio_s: float | None = None,
) -> AsyncIterator[System]:
    """A server of our own as long as the block lasts, with a voice for each of `clips`.

    `options` go to `oncue serve`, `conditions` to every figure. `first_audio_s`: exact length of the first utterance,
    for models that would not end by themselves. Raises ServerStartError, SpeechError.
    """
    async with AsyncExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncue-bench-")))
        arguments = [
            *("--data", str(data_dir), "--requests-per-second", "0"),
            *(("--model", model) if model is not None else ()),
            # Left out where it is the usual one, so that older servers can be measured, too.
            *(("--pipeline", pipeline.value) if pipeline is not Pipeline.ONCUE else ()),
            *options,
        ]
        # The kernels are part of what is compared.
        server = LocalServer(arguments, {} if pipeline is Pipeline.ONCUE else {"ONCUE_KERNELS": "off"})
        address = await stack.enter_async_context(server)
        client = await stack.enter_async_context(connect(address))
        process = ServerProcess(server.pid)
        yield await stack.enter_async_context(
            _ready(pipeline, model_label(model), client, process, clips, conditions or {}, first_audio_s)
        )


@asynccontextmanager
async def connected(address: str, clips: Sequence[bytes]) -> AsyncIterator[System]:
    """A server that runs already; of its process nothing is known. Raises SpeechError."""
    async with connect(address) as client:
        model = (await client.info()).model
        async with _ready(Pipeline.ONCUE, model, client, ServerProcess(None), clips, {}) as system:
            yield system


def model_label(model: str | None) -> str:
    """What figures call the model that `--model` names."""
    if model is None or model == "nano":
        return "nano"
    return "full" if model.startswith(FULL_SIZE) else Path(model).name


def unmeasured(
    pipeline: Pipeline,
    model: str,
    name: str,
    why: str,
    conditions: Mapping[str, Condition] | None = None,
    goal: Goal | None = None,
) -> Figure:
    """A figure without a value, of a system that did not start."""
    fixed: dict[str, Condition] = {"system": pipeline.value, "model": model, "load": os.getloadavg()[0]}
    return Figure(name, None, {**fixed, **(conditions or {}), "why": why}, None, goal)


@asynccontextmanager
async def _ready(
    pipeline: Pipeline,
    model: str,
    client: Client,
    process: ServerProcess,
    clips: Sequence[bytes],
    conditions: Mapping[str, Condition],
    first_audio_s: float | None = None,
) -> AsyncIterator[System]:
    async with registered_voices(client, {str(number): clip for number, clip in enumerate(clips)}) as voices:
        names = tuple(voice.name for voice in voices.values())
        rate_hz = (await client.info()).native_rate_hz
        samples = None if first_audio_s is None else round(first_audio_s * rate_hz)
        first = await listen(client, Line(text(0, 1), names[0], 0, paced=False, duration_samples=samples))
        yield System(pipeline, model, client, names, process, first, conditions)
