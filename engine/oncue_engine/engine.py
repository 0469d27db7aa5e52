"""The door: load a model once, prepare prompts, run many utterances at once. The server uses nothing else.

All checks of a request are made here, in the caller's thread, before any work begins; the networks run on the
engine's own threads (scheduler.py), and events come from them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from .answers import EngineInfo, Event, SegmentPlan, UtterancePlan
from .baselines.opening import open_baseline
from .conditioning import Conditioner
from .decoding.length import Geometry, LengthRange, SegmentLength, allot, length_range
from .delivery import UtteranceHandle
from .engine_info import describe
from .errors import Unsupported
from .frontend.audio import ReferenceQuality, Waveform, decode_reference
from .frontend.languages import language_of
from .frontend.prompt_clip import read_prompt, report
from .frontend.text import TextSegment
from .kinds.opening import open_model
from .model.emotion_bank import normalize_weights
from .model_interface import SpeechModel
from .options import EngineOptions
from .pipeline import Pipeline
from .request_checks import check_emotion, check_settings, clips_unsupported, words_unsupported
from .requests import (
    EmotionWeights,
    EmotionWords,
    LengthPolicy,
    Reference,
    ReferenceOptions,
    TargetSamples,
    TargetTokens,
    UtteranceRequest,
)
from .scheduler import Scheduler
from .script import Script
from .stage_clock import StageTime
from .stage_runner import StageRunner
from .utterance import Utterance
from .warm_up import warm_up
from .word_weights import WordWeights
from .words.kept_answers import KeptAnswers

__all__ = ["Engine", "UtteranceHandle"]

_logger = logging.getLogger(__name__)

_MAX_LIVE = 64


class Engine:
    """One model, loaded and running. Every method may be called from any thread; `close` it in the end."""

    def __init__(
        self, model: SpeechModel, name: str, data_dir: Path, options: EngineOptions, glossary: Path | None = None
    ) -> None:
        """Use `Engine.load`."""
        self._model = model
        self._info = describe(model, name, options, max_live=_MAX_LIVE)
        self._text = model.text.served(glossary, public_cuts=options.decoding == "reference")
        self._conditioner = Conditioner(model, data_dir / "conditioning")
        self._scheduler = _pipeline(model, self._conditioner, options)
        speech = model.speech
        self._geometry = Geometry(
            native_rate_hz=speech.sample_rate_hz,
            hop_samples=model.hop_samples,
            frames_per_token=speech.frames_per_token,
            pause_samples=speech.sample_rate_hz * speech.pause_ms // 1000,
            max_segment_tokens=speech.max_segment_tokens,
        )
        self._words = None
        if model.emotion_words is not None:
            kept = KeptAnswers(data_dir / "emotion_words", model.fingerprint)
            self._words = WordWeights(model.emotion_words, kept)

    @classmethod
    def load(
        cls,
        model: str | Path,
        data_dir: Path,
        options: EngineOptions | None = None,
        *,
        glossary: Path | None = None,
    ) -> Engine:
        """Load a model by its name or folder (kinds/opening.py), start the engine's lanes, and warm them up.

        `data_dir` keeps prepared prompts; `glossary` is a file of terms (frontend/glossary.py) that go before
        the model's own. CheckpointError for files that are missing, misshapen or corrupt; InvalidRequest
        OPTION_INVALID; Unsupported DECODING_UNSUPPORTED or PIPELINE_UNSUPPORTED.
        """
        name, loaded = open_model(model)
        engine = cls(loaded, name, data_dir, options or EngineOptions(), glossary)
        engine._scheduler.start()
        try:
            warm_up(loaded, engine._conditioner, engine._scheduler, engine._geometry)
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def prompt_encodes(self) -> int:
        """Passes of the semantic encoder over prompts since the start."""
        return self._conditioner.prompt_encodes

    @property
    def live_utterances(self) -> int:
        return self._scheduler.live

    def stage_times(self) -> dict[str, StageTime]:
        """Calls and seconds of each stage since the start, warm-up included."""
        return self._scheduler.clock.read()

    def close(self) -> None:
        """End everything that is live (Failed, ENGINE_CLOSED) and the engine's thread."""
        self._scheduler.stop()
        if self._words is not None:
            self._words.close()

    def plan(self, request: UtteranceRequest) -> UtterancePlan:
        """How the text will be read and how long it can be; checks all of the request but the clips.

        Raises InvalidRequest, LengthInfeasible or Unsupported.
        """
        segments, limits, _ = self._check(request)
        weights = self._resolve(request).emotion_weights
        return UtterancePlan(
            segments=tuple(
                SegmentPlan(segment.text, segment.char_begin, segment.char_end, len(segment.pieces), natural)
                for segment, natural in zip(segments, self._natural(segments), strict=True)
            ),
            natural_samples=limits.natural_samples,
            min_samples=limits.min_samples,
            max_samples=limits.max_samples,
            natural_tokens=limits.natural_tokens,
            min_tokens=limits.min_tokens,
            max_tokens=limits.max_tokens,
            comfortable_min_samples=limits.comfortable_min_samples,
            comfortable_max_samples=limits.comfortable_max_samples,
            emotion_weights=weights,
            duration_control=self._info.duration_control,
        )

    def speak(self, request: UtteranceRequest, on_event: Callable[[Event], None]) -> UtteranceHandle:
        """Check the request, then begin: Started, AudioChunk..., and Finished or Failed come from the engine's thread.

        `on_event` must return quickly: nothing else is generated meanwhile. If it raises, its utterance ends. Raises
        InvalidRequest (ReferenceRejected and LengthInfeasible too), Unsupported, or Overloaded.
        """
        segments, limits, lengths = self._check(request)
        request = self._resolve(request)
        emotion = request.emotion
        script = Script(
            request=request,
            text_ids=tuple(tuple(piece.id for piece in segment.pieces) for segment in segments),
            lengths=lengths,
            total_samples=request.length.samples
            if isinstance(request.length, TargetSamples) and request.length_policy is not LengthPolicy.ADVISE
            else None,
            # Clips that must be encoded are read here, so that a bad one is refused at once.
            voice_clip=self._clip(request.voice) if self._conditioner.find_voice(request.voice.key) is None else None,
            emotion_clip=self._clip(emotion)
            if isinstance(emotion, Reference) and self._conditioner.find_emotion(emotion.key) is None
            else None,
            expected_s=self._expected_s(request, limits),
            sampling=request.sampling or self._info.sampling,
        )
        return self._submit(Utterance(script, self._model, on_event))

    def prepare_voice(self, reference: Reference) -> int:
        """Make what this voice needs, if it is not kept already. Blocks; returns encoder passes (0: it was kept).

        Raises ReferenceRejected.
        """
        if self._conditioner.find_voice(reference.key) is not None:
            return 0
        clip = self._clip(reference)
        return self._count_encodes(lambda: self._conditioner.voice(reference, clip))

    def prepare_emotion(self, reference: Reference) -> int:
        """Make what this emotion needs, if it is not kept already. Blocks; returns encoder passes (0: it was kept).

        Raises ReferenceRejected, Unsupported (EMOTION_CLIPS_UNSUPPORTED).
        """
        if not self._info.emotion_from_clips:
            raise clips_unsupported()
        if self._conditioner.find_emotion(reference.key) is not None:
            return 0
        clip = self._clip(reference)
        return self._count_encodes(lambda: self._conditioner.emotion(reference, clip))

    def weigh_words(self, words: EmotionWords) -> EmotionWeights:
        """The weights that words come down to, in the order of EMOTION_NAMES. Blocks while the model works: for
        milliseconds with the embedded one, for seconds with a public one.

        Raises Unsupported (EMOTION_WORDS_UNSUPPORTED), InvalidRequest (EMOTION_WORDS_INVALID), Overloaded
        (EMOTION_WORDS_BUSY), GenerationFailed (EMOTION_WORDS_UNREADABLE, _TIMEOUT, _CRASHED).
        """
        return self.weighing(words).result()

    def weighing(self, words: EmotionWords) -> Future[EmotionWeights]:
        """As `weigh_words`, without waiting. What the words or the engine lack is raised at once, the rest by the
        future, which may be cancelled."""
        if self._words is None:
            raise words_unsupported()
        return self._words.weighing(words)

    def inspect_reference(self, path: Path, options: ReferenceOptions | None = None) -> ReferenceQuality:
        """Report on a clip, and on what becomes of it under `options` (None: the usual ones).

        Raises ReferenceRejected for one that cannot become a prompt.
        """
        return report(decode_reference(path), options or ReferenceOptions())

    # Checks

    def _check(self, request: UtteranceRequest) -> tuple[list[TextSegment], LengthRange, tuple[SegmentLength, ...]]:
        check_settings(request)
        check_emotion(request, self._info)
        language = language_of(request.language, self._model.speech.languages)
        segments = self._text.segments(request.text, request.lexicon, language)
        natural = self._natural(segments)
        limits = length_range(natural, self._geometry, request.sample_rate_hz)
        lengths = allot(request.length, request.length_policy, natural, self._geometry, request.sample_rate_hz)
        return segments, limits, lengths

    def _resolve(self, request: UtteranceRequest) -> UtteranceRequest:
        """The request with the weights that it comes down to: found for words, in the caller's time and not in the
        engine's, and with bias and cap applied."""
        emotion, mixing = request.emotion, request.emotion_mixing
        if isinstance(emotion, EmotionWords):
            emotion = self.weigh_words(emotion)
        if isinstance(emotion, EmotionWeights) and (mixing.apply_bias or mixing.cap_sum):
            found = normalize_weights(emotion.weights, bias=mixing.apply_bias, cap=mixing.cap_sum)
            emotion = EmotionWeights.as_told(found)
            mixing = replace(mixing, apply_bias=False, cap_sum=False)
        return replace(request, emotion=emotion, emotion_mixing=mixing)

    def _natural(self, segments: list[TextSegment]) -> list[int]:
        most = self._geometry.max_segment_tokens
        return [min(most, self._model.pace.natural_tokens([p.id for p in segment.pieces])) for segment in segments]

    def _expected_s(self, request: UtteranceRequest, limits: LengthRange) -> float:
        match request.length:
            case TargetSamples(samples):
                return samples / request.sample_rate_hz
            case TargetTokens(tokens):
                return tokens / self._info.token_rate_hz
            case None:
                return limits.natural_samples / request.sample_rate_hz

    # Work

    def _submit(self, utterance: Utterance) -> UtteranceHandle:
        self._scheduler.submit(utterance)
        return UtteranceHandle(utterance.delivery, self._scheduler.wake)

    def _clip(self, reference: Reference) -> Waveform:
        return read_prompt(reference)

    def _count_encodes(self, work: Callable[[], object]) -> int:
        def counted() -> int:
            before = self._conditioner.prompt_encodes
            work()
            return self._conditioner.prompt_encodes - before

        passes: int = self._scheduler.call(counted).result()
        return passes


def _pipeline(model: SpeechModel, conditioner: Conditioner, options: EngineOptions) -> Pipeline:
    resolved = options.resolved(model.parameters)
    if options.decoding not in model.decodings:
        raise Unsupported(
            f"{model.name} has no {options.decoding} decoding, only {', '.join(model.decodings)}",
            reason="DECODING_UNSUPPORTED",
        )
    if options.pipeline == "oncue":
        return Scheduler(StageRunner(model, conditioner, resolved), lanes=resolved.lanes, max_live=_MAX_LIVE)
    return open_baseline(options.pipeline, model, conditioner, resolved, max_live=_MAX_LIVE)
