"""The client: one channel to one server, and all that can be asked of it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from oncue.audio import Clip, Encoding
from oncue.emotions import EmotionMixing, Emotions
from oncue.errors import typed_errors
from oncue.info import ServerInfo, UtterancePlan, server_info
from oncue.lexicon import LexiconArgument
from oncue.scheduling import Priority, Scheduling
from oncue.speech import Pacing, Speech, SpeechStream
from oncue.stats import ServerStats, server_stats
from oncue.utterance import EmotionArgument, LengthPolicy, Sampling, Utterance
from oncue.v1 import server_service_pb2, server_service_pb2_grpc
from oncue.voices import Voice, Voices

__all__ = ["Client", "connect"]

_OPTIONS = (
    # Otherwise the transport grows its window to megabytes, and a server that follows the reader's pace would be
    # minutes of audio ahead of it.
    ("grpc.http2.bdp_probe", 0),
)


class Client:
    """A connection. Use it as an async context manager; all calls may run at the same time.

    Methods raise SpeechError; ValueError for arguments that no request can express; OSError for files.
    """

    voices: Voices
    emotions: Emotions

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.voices = Voices(channel)
        self.emotions = Emotions(channel)
        self._channel = channel
        self._speech = Speech(channel)
        self._server = server_service_pb2_grpc.ServerServiceStub(channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends running calls and the connection."""
        await self._channel.close()

    async def info(self) -> ServerInfo:
        """The truth about the server and its model."""
        with typed_errors():
            response = await self._server.GetServerInfo(server_service_pb2.GetServerInfoRequest())
        return server_info(response.info)

    async def stats(self) -> ServerStats:
        """What the server has done since its start."""
        with typed_errors():
            response = await self._server.GetServerStats(server_service_pb2.GetServerStatsRequest())
        return server_stats(response.stats)

    def stream(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        emotion: EmotionArgument | None = None,
        emotion_strength: float | None = None,
        emotion_mixing: EmotionMixing | None = None,
        duration_samples: int | None = None,
        tokens: int | None = None,
        length_policy: LengthPolicy = "strict",
        sample_rate_hz: int | None = None,
        encoding: Encoding = "pcm_s16",
        seed: int | None = None,
        sampling: Sampling | None = None,
        lexicon: LexiconArgument | None = None,
        language: str | None = None,
        pacing: Pacing | None = None,
        priority: Priority = "normal",
        start_deadline_s: float | None = None,
        start_sample: int = 0,
        timeout_s: float | None = None,
    ) -> SpeechStream:
        """Speaks while it generates: `async for chunk in client.stream(text, voice=voice)`.

        The arguments are those of Utterance; `pacing` None works 2 s ahead of playback; samples before `start_sample`
        are not sent, so that a retry with the same seed resumes. Nothing is sent before the first iteration.

        Where the server cannot serve all in time, `high` comes before `normal` and `background` after it. A first audio
        that would come later than `start_deadline_s` (or after `timeout_s`) is refused at once: Unavailable, reason
        OVERLOADED, with `retry_after_s`.
        """
        utterance = Utterance(
            text=text,
            voice=voice,
            emotion=emotion,
            emotion_strength=emotion_strength,
            emotion_mixing=emotion_mixing or EmotionMixing(),
            duration_samples=duration_samples,
            tokens=tokens,
            length_policy=length_policy,
            sample_rate_hz=sample_rate_hz,
            encoding=encoding,
            seed=seed,
            sampling=sampling or Sampling(),
            lexicon=lexicon,
            language=language,
        )
        scheduling = Scheduling(priority, start_deadline_s)
        return self._speech.stream(utterance, pacing or Pacing(), scheduling, start_sample, timeout_s)

    async def synthesize(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        emotion: EmotionArgument | None = None,
        emotion_strength: float | None = None,
        emotion_mixing: EmotionMixing | None = None,
        duration_samples: int | None = None,
        tokens: int | None = None,
        length_policy: LengthPolicy = "strict",
        sample_rate_hz: int | None = None,
        encoding: Encoding = "pcm_s16",
        seed: int | None = None,
        sampling: Sampling | None = None,
        lexicon: LexiconArgument | None = None,
        language: str | None = None,
        priority: Priority = "normal",
        start_deadline_s: float | None = None,
        timeout_s: float | None = None,
    ) -> Clip:
        """Speaks a short clip: the same samples as `stream`, in one answer of at most 4 MiB.

        `priority` and `start_deadline_s` are those of `stream`.
        """
        utterance = Utterance(
            text=text,
            voice=voice,
            emotion=emotion,
            emotion_strength=emotion_strength,
            emotion_mixing=emotion_mixing or EmotionMixing(),
            duration_samples=duration_samples,
            tokens=tokens,
            length_policy=length_policy,
            sample_rate_hz=sample_rate_hz,
            encoding=encoding,
            seed=seed,
            sampling=sampling or Sampling(),
            lexicon=lexicon,
            language=language,
        )
        return await self._speech.synthesize(utterance, Scheduling(priority, start_deadline_s), timeout_s)

    async def plan(
        self,
        text: str,
        *,
        voice: Voice | str | None = None,
        emotion: EmotionArgument | None = None,
        emotion_strength: float | None = None,
        emotion_mixing: EmotionMixing | None = None,
        duration_samples: int | None = None,
        tokens: int | None = None,
        length_policy: LengthPolicy = "strict",
        sample_rate_hz: int | None = None,
        lexicon: LexiconArgument | None = None,
        language: str | None = None,
        timeout_s: float | None = None,
    ) -> UtterancePlan:
        """How the text will be read and how long it can be, without speaking. A length given is checked."""
        utterance = Utterance(
            text=text,
            voice=voice,
            emotion=emotion,
            emotion_strength=emotion_strength,
            emotion_mixing=emotion_mixing or EmotionMixing(),
            duration_samples=duration_samples,
            tokens=tokens,
            length_policy=length_policy,
            sample_rate_hz=sample_rate_hz,
            lexicon=lexicon,
            language=language,
        )
        return await self._speech.plan(utterance, timeout_s)


def connect(address: str, *, credentials: grpc.ChannelCredentials | None = None) -> Client:
    """A client of the server at `address` (host:port). Connects on first use; without credentials in plain text.

    Call it in the event loop that will use it: `async with oncue.connect(address) as client`.
    """
    if credentials is None:
        return Client(grpc.aio.insecure_channel(address, options=_OPTIONS))
    return Client(grpc.aio.secure_channel(address, credentials, options=_OPTIONS))
