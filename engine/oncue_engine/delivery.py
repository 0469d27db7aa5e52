"""An utterance's door to its listener: output rate, exact length, pacing, and events in order.

native samples -> output rate -> cut to the length asked for -> held until the pacing allows -> AudioChunk
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from .answers import AudioChunk, Event, Failed, Finished, Started
from .errors import EngineError, GenerationFailed
from .frontend.resample import StreamingResampler
from .playback import Playback
from .requests import PacingMode, Sampling, UtteranceRequest

__all__ = ["Delivery", "UtteranceHandle"]

Samples = npt.NDArray[np.float32]

_logger = logging.getLogger(__name__)

_DEFAULT_LEAD_S = 2.0
_SMALLEST_DELIVERY_S = 0.04
"""The least that is worth a message while the pacing holds more back."""


class Delivery:
    """Any thread may call it. Audio is pushed by one thread at a time; events leave in order, whoever sends them.

    Questions take no lock: the scheduler asks them under a lock of its own, which an event callback, called under ours,
    may be waiting for. An answer may be out of date by what is being sent just then.
    """

    def __init__(
        self,
        request: UtteranceRequest,
        native_rate_hz: int,
        total_samples: int | None,
        on_event: Callable[[Event], None],
    ) -> None:
        """`total_samples`: cut the output there; None: as long as what is pushed."""
        self.born_s = time.monotonic()
        self.first_audio_s: float | None = None
        self.produced = 0
        """Output samples made so far, from the utterance's first on."""
        self._request = request
        self._total = total_samples
        self._on_event = on_event
        self._lock = threading.RLock()  # a callback may cancel its own utterance
        self._closed = False
        self._opening: Started | None = None
        """Started, until it is sent."""
        self._resampler = StreamingResampler(native_rate_hz, request.sample_rate_hz)
        self._pending: list[Samples] = []
        """Output samples that were not sent yet."""
        self._ended = False
        self._sequence = 0
        self._last_audio_s = self.born_s
        self._playback = Playback(request.sample_rate_hz, request.start_sample)
        self._paced = request.pacing.mode is PacingMode.REALTIME
        lead = request.pacing.max_lead_samples
        self._max_lead = round(_DEFAULT_LEAD_S * request.sample_rate_hz) if lead is None else lead
        self._smallest = min(self._max_lead, round(_SMALLEST_DELIVERY_S * request.sample_rate_hz))

    def cancel(self) -> None:
        """No event is delivered once this returns."""
        with self._lock:
            self._closed = True

    def report_playhead(self, played_samples: int) -> None:
        """The listener has played up to this sample."""
        with self._lock:
            self._playback.report(played_samples, time.monotonic())

    @property
    def closed(self) -> bool:
        """Cancelled, finished or failed."""
        return self._closed

    @property
    def ended(self) -> bool:
        """All audio is made; some of it may be waiting to be sent."""
        return self._ended

    def lead_s(self, now_s: float) -> float:
        """Seconds of audio that are made and not played yet."""
        return self._lead(now_s) / self._request.sample_rate_hz

    def is_ahead(self, now_s: float, chunk_s: float, coming_s: float) -> bool:
        """Whether a next chunk of `chunk_s` would be too early for the listener, who is sure of `coming_s` more."""
        if not self._paced or self.first_audio_s is None:
            return False
        return self._lead(now_s) + coming_s * self._request.sample_rate_hz > self._begin_at(chunk_s)

    def can_send(self, now_s: float) -> bool:
        """Whether `send` or `finish` has anything to do."""
        done = self._ended and not self._pending
        return not self._closed and (self._opening is not None or done or self._allowed(now_s) > 0)

    def wake_in_s(self, now_s: float, chunk_s: float, coming_s: float) -> float | None:
        """When pacing will allow something again; None where it holds nothing back."""
        if self._closed or not self._paced or self.first_audio_s is None:
            return None
        waits = []
        waiting = self._waiting()
        if waiting:
            enough = self._max_lead - min(self._smallest, waiting)
            waits.append(self._playback.seconds_until_lead(enough, now_s))
        if not self._ended:
            sure = waiting + coming_s * self._request.sample_rate_hz
            waits.append(self._playback.seconds_until_lead(self._begin_at(chunk_s) - sure, now_s))
        return min(waits, default=None)

    def push(self, native: Samples) -> None:
        """Native samples, in order."""
        self._add(self._resampler.push(torch.from_numpy(native)).numpy())

    def end(self) -> None:
        """The last native sample was pushed."""
        self._add(self._resampler.flush().numpy())
        self._ended = True

    def open(self, num_segments: int, sampling: Sampling) -> None:
        """Started is to be sent first; `sampling`: what the tokens are drawn with."""
        request = self._request
        self._opening = Started(
            request.seed, request.sample_rate_hz, num_segments, self._total, sampling, request.emotion_weights
        )

    def send(self, now_s: float, codes_generated: int) -> None:
        """Send what there is and what the pacing allows."""
        with self._lock:
            self._emit_opening()
            count = self._allowed(now_s)
            if count <= 0 or self._closed:
                return
            joined = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
            self._pending = [joined[count:]] if count < len(joined) else []
            if self.first_audio_s is None:
                self.first_audio_s = now_s
            chunk = AudioChunk(self._sequence, self._playback.sent, joined[:count], codes_generated)
            self._sequence += 1
            self._playback.deliver(count, now_s)
            self._emit(chunk)

    def finish(self, codes: int, prompt_encodes: int, fewest_flow_steps: int, reason: str) -> bool:
        """Send Finished if all audio has been sent; False while some is waiting."""
        with self._lock:
            if not self._ended or self._pending:
                return False
            first = self._last_audio_s if self.first_audio_s is None else self.first_audio_s
            self._emit(
                Finished(
                    total_samples=self.produced,
                    total_codes=codes,
                    seed=self._request.seed,
                    time_to_first_audio_s=first - self.born_s,
                    generation_s=self._last_audio_s - self.born_s,
                    prompt_encodes=prompt_encodes,
                    fewest_flow_steps=fewest_flow_steps,
                    reason=reason,
                )
            )
            self._closed = True
            return True

    def fail(self, error: Exception) -> None:
        """Send Failed; nothing follows."""
        if not isinstance(error, EngineError):
            wrapped = GenerationFailed(f"generation stopped: {error!r}", reason="INTERNAL")
            wrapped.__cause__ = error
            error = wrapped
        with self._lock:
            self._emit_opening()
            self._emit(Failed(error))
            self._closed = True

    def _lead(self, now_s: float) -> float:
        return self._playback.lead_samples(now_s) + self._waiting()

    def _begin_at(self, chunk_s: float) -> float:
        """The lead at which the next chunk may begin: it must fit, but half the allowed lead is always kept up."""
        return max(self._max_lead - chunk_s * self._request.sample_rate_hz, self._max_lead / 2)

    def _waiting(self) -> int:
        return sum(len(samples) for samples in self._pending)

    def _allowed(self, now_s: float) -> int:
        """Waiting samples that may be sent now."""
        count = self._waiting()
        if not self._paced or count == 0:
            return count
        allowed = int(self._max_lead - self._playback.lead_samples(now_s))
        return min(count, allowed) if allowed >= min(count, self._smallest) else 0

    def _add(self, samples: Samples) -> None:
        """Output samples in order; those beyond the length, or before the first one asked for, are dropped here."""
        with self._lock:
            if self._total is not None:
                samples = samples[: self._total - self.produced]
            skip = min(len(samples), max(0, self._request.start_sample - self.produced))
            self.produced += len(samples)
            if len(samples) > skip:
                # The resampler may overshoot a full-scale edge.
                self._pending.append(np.clip(samples[skip:], -1.0, 1.0))
            self._last_audio_s = time.monotonic()

    def _emit_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            self._emit(opening)

    def _emit(self, event: Event) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                self._on_event(event)
            except Exception:
                _logger.exception("an event callback failed: its utterance ends")
                self._closed = True


class UtteranceHandle:
    """What the caller of Engine.speak holds. Any thread may call it, the event callback included."""

    def __init__(self, delivery: Delivery, wake: Callable[[], None]) -> None:
        self._delivery = delivery
        self._wake = wake

    def cancel(self) -> None:
        """No event follows once this returns; its slot is free after the step that is running now."""
        self._delivery.cancel()
        self._wake()

    def report_playhead(self, played_samples: int) -> None:
        """The listener has played up to this sample of the utterance (output rate)."""
        self._delivery.report_playhead(played_samples)
        self._wake()
