"""An utterance of the contract, checked and turned into what the engine takes."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from oncue.v1 import audio_pb2
from oncue.v1 import speech_service_pb2 as pb
from oncue_engine.answers import Started
from oncue_engine.engine import Engine
from oncue_engine.errors import EngineError, InvalidRequest, Overloaded, ReferenceRejected
from oncue_engine.requests import (
    EmotionMixing,
    EmotionWeights,
    EmotionWords,
    LengthPolicy,
    Pacing,
    PacingMode,
    Reference,
    UtteranceRequest,
)
from oncue_server import limits, speech_limits
from oncue_server.clips import write_clip
from oncue_server.emotions import find_emotion
from oncue_server.messages import weights_message
from oncue_server.scheduling import SHORTEST_DEADLINE_S, Scheduling
from oncue_server.store import Store
from oncue_server.voices import Voices

__all__ = ["Resolved", "Resolver"]

_FIELD = "utterance"
_INLINE_AUDIO = f"{_FIELD}.emotion.inline.audio"

_WORDS_RETRY_S = 5.0
"""Words that were given up by their caller go on being read, and are known then."""

# Paths that stand beside the utterance in a request, not inside it.
_BESIDE = (_FIELD, "pacing", "start_sample", "scheduling")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An utterance with all names looked up and all defaults filled in."""

    request: UtteranceRequest
    voice: str
    """`voices/{voice}`."""
    format: audio_pb2.AudioFormat
    """Both fields set."""
    scheduling: Scheduling

    def started(self, event: Started, fingerprint: str, utterance_id: str = "") -> pb.SynthesisStarted:
        """The settings as the contract reports them."""
        request, drawn = self.request, event.sampling
        realtime = request.pacing.mode is PacingMode.REALTIME
        return pb.SynthesisStarted(
            voice=self.voice,
            format=self.format,
            seed=event.seed,
            sampling=pb.Sampling(
                temperature=drawn.temperature,
                top_k=drawn.top_k,
                top_p=drawn.top_p,
                repetition_penalty=drawn.repetition_penalty,
            ),
            emotion_strength=None if request.emotion is None else request.emotion_strength,
            pacing=pb.Pacing(
                mode=pb.PACING_MODE_REALTIME if realtime else pb.PACING_MODE_UNPACED,
                max_lead_samples=request.pacing.max_lead_samples if realtime else None,
            ),
            start_sample=request.start_sample,
            planned_samples=event.planned_samples,
            num_segments=event.num_segments,
            fingerprint=fingerprint,
            emotion_weights=weights_message(event.emotion_weights),
            scheduling=self.scheduling.message,
            utterance_id=utterance_id,
        )


class Resolver:
    """Turns messages into engine requests."""

    def __init__(self, engine: Engine, voices: Voices, emotions: Store, scratch: Path) -> None:
        """`scratch`: a folder for clips that stand inside requests, while their utterance runs."""
        self._engine = engine
        self._voices = voices
        self._emotions = emotions
        self._scratch = scratch

    @asynccontextmanager
    async def resolve(
        self,
        message: pb.Utterance,
        encodings: tuple[audio_pb2.AudioEncoding.ValueType, ...],
        pacing: pb.Pacing | None = None,
        start_sample: int = 0,
        scheduling: Scheduling | None = None,
    ) -> AsyncIterator[Resolved]:
        """The utterance, as long as the block lasts; `pacing` None: UNPACED, and nobody listens while it is made.

        Raises InvalidRequest, Unsupported, NotFound, with the field at fault; errors of the engine that the block
        raises get theirs here.
        """
        native_rate_hz = self._engine.info.native_rate_hz
        format_ = speech_limits.audio_format(message.format, native_rate_hz, encodings, f"{_FIELD}.format")
        target, policy = None, LengthPolicy.STRICT
        if message.HasField("length"):
            policy = speech_limits.length_policy(message.length, f"{_FIELD}.length")
            target = speech_limits.length(message.length, f"{_FIELD}.length")
        engine_pacing = (
            Pacing(PacingMode.UNPACED)
            if pacing is None
            else speech_limits.pacing(pacing, format_.sample_rate_hz, "pacing")
        )
        turn = scheduling or Scheduling()
        voice, reference = await asyncio.to_thread(self._voices.find, message.voice, f"{_FIELD}.voice")
        async with self._emotion(message) as emotion:
            resolved = Resolved(
                request=UtteranceRequest(
                    text=message.text,
                    voice=reference,
                    sample_rate_hz=format_.sample_rate_hz,
                    emotion=emotion,
                    emotion_strength=message.emotion.strength if message.emotion.HasField("strength") else 1.0,
                    emotion_mixing=EmotionMixing(
                        apply_bias=message.emotion.apply_bias,
                        cap_sum=message.emotion.cap_sum,
                        random_style=message.emotion.random_style,
                    ),
                    length=target,
                    length_policy=policy,
                    sampling=speech_limits.sampling(message.sampling, self._engine.info.sampling),
                    seed=message.seed if message.HasField("seed") else secrets.randbits(32),
                    pacing=engine_pacing,
                    start_sample=start_sample,
                    priority=turn.priority,
                    start_deadline_s=turn.start_deadline_s,
                    # A seed that was given promises the same samples under any load.
                    flexible_steps=pacing is not None and not message.HasField("seed"),
                    lexicon=speech_limits.lexicon(message.lexicon),
                    language=message.language,
                ),
                voice=voice,
                format=format_,
                scheduling=turn,
            )
            try:
                if isinstance(emotion, EmotionWords):
                    resolved = replace(resolved, request=await self._weighed(resolved.request, emotion))
                yield resolved
            except EngineError as error:
                error.field = _path(error, message.emotion)
                raise

    async def _weighed(self, request: UtteranceRequest, words: EmotionWords) -> UtteranceRequest:
        """The request with weights in place of words. No thread waits for them: other calls may need it meanwhile.

        What that takes counts against the start deadline. Raises Overloaded where it has passed.
        """
        began_s, deadline_s = time.monotonic(), request.start_deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                weights = await asyncio.wrap_future(self._engine.weighing(words))
        except TimeoutError:
            raise Overloaded(
                f"the emotion's words were not read within the start deadline of {deadline_s:g} s",
                retry_after_s=_WORDS_RETRY_S,
                field="scheduling.start_deadline",
            ) from None
        if deadline_s is not None:
            deadline_s = max(deadline_s - (time.monotonic() - began_s), SHORTEST_DEADLINE_S)
        return replace(request, emotion=weights, start_deadline_s=deadline_s)

    @asynccontextmanager
    async def _emotion(self, message: pb.Utterance) -> AsyncIterator[Reference | EmotionWeights | EmotionWords | None]:
        if not message.HasField("emotion"):
            yield None
            return
        emotion, field, info = message.emotion, f"{_FIELD}.emotion", self._engine.info
        if emotion.WhichOneof("emotion") == "name":
            yield await asyncio.to_thread(find_emotion, self._emotions, emotion.name, f"{field}.name")
            return
        match emotion.inline.WhichOneof("source"):
            case "audio":
                audio = limits.inline_audio(emotion.inline.audio, _INLINE_AUDIO)
                folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
                try:
                    yield await asyncio.to_thread(_inline_clip, folder / "clip", audio)
                finally:
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            case "weights":
                yield limits.emotion_weights(emotion.inline.weights, info.emotions, f"{field}.inline.weights")
            case "words":
                yield EmotionWords(emotion.inline.words)
            case _:
                raise InvalidRequest(
                    "set a name, audio, weights or words", reason="EMOTION_SOURCE_REQUIRED", field=field
                )


def _inline_clip(path: Path, audio: bytes) -> Reference:
    return Reference(path=path, sha256=write_clip(path, audio))


def _path(error: EngineError, emotion: pb.UtteranceEmotion) -> str:
    """Where the request names what the engine refuses."""
    if isinstance(error, ReferenceRejected):
        # Registered clips were checked when they came; one that fails now has been damaged since.
        return _INLINE_AUDIO if emotion.inline.WhichOneof("source") == "audio" else f"{_FIELD}.voice"
    if error.field.startswith(("emotion.weights", "emotion.words")):
        # A registered emotion may ask for what another model had.
        of = "name" if emotion.WhichOneof("emotion") == "name" else f"inline.{error.field.removeprefix('emotion.')}"
        return f"{_FIELD}.emotion.{of}"
    if not error.field or error.field.startswith(_BESIDE):
        return error.field
    return f"{_FIELD}.{error.field}"
