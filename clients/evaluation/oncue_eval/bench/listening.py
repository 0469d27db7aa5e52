"""One utterance as its listener sees it: when each chunk came, by the client's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from oncue.audio import Encoding, SpeechStats
from oncue.client import Client
from oncue.errors import SpeechError
from oncue.speech import Pacing
from oncue_eval.bench.player import Arrival

__all__ = ["Heard", "Line", "listen"]


@dataclass(frozen=True, slots=True)
class Line:
    """What is asked for."""

    text: str
    voice: str
    seed: int
    paced: bool = True
    """REALTIME with the server's own lead, or as fast as it goes."""
    duration_samples: int | None = None
    """Exact length at the model's own rate."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What came of it. Times are those of time.perf_counter."""

    called_s: float
    ended_s: float
    arrivals: tuple[Arrival, ...]
    rate_hz: int
    """0 where no audio came."""
    stats: SpeechStats | None
    """None where it did not end well."""
    refused: str | None = None
    """The reason why the server refused it, or broke off."""
    payload: bytes = b""
    """The samples as float32, where they were to be kept."""

    @property
    def first_audio_s(self) -> float | None:
        """From the call to the first chunk."""
        return self.arrivals[0].at_s - self.called_s if self.arrivals else None

    @property
    def audio_s(self) -> float:
        """Seconds of audio that came."""
        return sum(arrival.num_samples for arrival in self.arrivals) / self.rate_hz if self.arrivals else 0.0


async def listen(client: Client, line: Line, *, keep: bool = False, only_start: bool = False) -> Heard:
    """Take an utterance in as it comes. `keep`: its samples as float32; `only_start`: leave after the first chunk.

    A SpeechError becomes `refused`. Raises OSError and ValueError as Client.stream does.
    """
    encoding: Encoding = "pcm_f32" if keep else "pcm_s16"
    arrivals: list[Arrival] = []
    payloads: list[bytes] = []
    rate_hz, refused = 0, None
    called_s = time.perf_counter()
    stream = client.stream(
        line.text,
        voice=line.voice,
        seed=line.seed,
        encoding=encoding,
        duration_samples=line.duration_samples,
        length_policy="force",
        pacing=Pacing(realtime=line.paced),
    )
    async with stream:
        try:
            async for chunk in stream:
                arrivals.append(Arrival(time.perf_counter(), chunk.num_samples))
                rate_hz = chunk.sample_rate_hz
                if keep:
                    payloads.append(chunk.payload)
                if only_start:
                    break
        except SpeechError as error:
            refused = error.reason or error.code.name
    return Heard(
        called_s=called_s,
        ended_s=time.perf_counter(),
        arrivals=tuple(arrivals),
        rate_hz=rate_hz,
        stats=stream.stats,
        refused=refused,
        payload=b"".join(payloads),
    )
