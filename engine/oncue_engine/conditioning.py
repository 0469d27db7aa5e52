"""Prompt clips -> plain tensors that speech needs, made once for each (clip, model) and kept.

    clip -> native rate -> log mel                                   -> prompt_mel
         -> 16 kHz -> semantic encoder -> normalised features        -> speaker latents, emotion vectors
                                       -> codec.quantize -> regulate -> prompt_condition
         -> 16 kHz -> filterbank -> CAMPPlus                         -> style

Kept in memory (least recently used go first) and on disk, as safetensors under a hash of the clip's key
(requests.Reference) and the model's fingerprint. An utterance holds the tensors it uses, so that what is evicted
meanwhile stays valid for it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .checkpoints.loaded import LoadedModel
from .frontend.audio import Waveform
from .frontend.fbank import fbank, minus_mean
from .frontend.mel import log_mel
from .frontend.prompt_clip import read_prompt
from .frontend.resample import beginning_at, sinc_resample
from .frontend.speech_features import speech_features
from .requests import Reference

__all__ = ["Conditioner", "EmotionConditioning", "VoiceConditioning"]

_logger = logging.getLogger(__name__)

_ENCODER_RATE_HZ = 16_000
_SPEECH_BELOW_PEAK = 10 ** (-35 / 20)
"""The first sample this close to the clip's peak is taken for speech."""
_LEAD_IN_S = 0.05
_FORMAT = "1"


@dataclass(frozen=True, slots=True, eq=False)
class VoiceConditioning:
    """What one voice clip gives. P prompt frames of S2M, K speaker latents."""

    kind: ClassVar[str] = "voice"

    latents: Tensor
    """Speaker latents [K,M]."""
    style: Tensor
    """CAMPPlus style [S]."""
    prompt_mel: Tensor
    """Log mel [80,P] that S2M continues."""
    prompt_condition: Tensor
    """Length-regulated, quantised features [P,C] of the same frames."""
    base_emotion: Tensor
    """Emotion vector [M] of the clip through the speaker path: where strength 0 stands (spec 3.3)."""
    own_emotion: Tensor
    """Emotion vector [M] of the clip as an emotion prompt: what speech without an emotion uses (spec 1.4)."""


@dataclass(frozen=True, slots=True, eq=False)
class EmotionConditioning:
    """What one emotion clip gives."""

    kind: ClassVar[str] = "emotion"

    emotion: Tensor
    """Emotion vector [M]."""


Conditioning = TypeVar("Conditioning", VoiceConditioning, EmotionConditioning)


class Conditioner:
    """Prompt encoders behind two caches. `find_*` may be called from any thread, all else by the engine's own."""

    def __init__(self, model: LoadedModel, folder: Path, *, capacity: int = 64) -> None:
        """`folder` is made if needed; `capacity` clips of each kind stay in memory."""
        self._model = model
        self._folder = folder
        self._capacity = capacity
        self._lock = threading.Lock()
        self._memory: OrderedDict[str, VoiceConditioning | EmotionConditioning] = OrderedDict()
        self._prompt_encodes = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def prompt_encodes(self) -> int:
        """Passes of the semantic encoder over a prompt, since the start."""
        return self._prompt_encodes

    def reset_prompt_encodes(self) -> None:
        """Count from 0 again: a warm-up is no prompt."""
        self._prompt_encodes = 0

    def find_voice(self, clip_key: str) -> VoiceConditioning | None:
        """The kept tensors of a voice clip, from memory or disk; None where its clip must be encoded."""
        return self._find(VoiceConditioning, clip_key)

    def find_emotion(self, clip_key: str) -> EmotionConditioning | None:
        """The kept tensors of an emotion clip, from memory or disk; None where its clip must be encoded."""
        return self._find(EmotionConditioning, clip_key)

    def voice(self, reference: Reference, clip: Waveform | None) -> VoiceConditioning:
        """Kept tensors, or those of `clip` (None: read the reference). ReferenceRejected where it cannot be read."""
        found = self.find_voice(reference.key)
        return found or self.make_voice(reference.key, clip or read_prompt(reference))

    def emotion(self, reference: Reference, clip: Waveform | None) -> EmotionConditioning:
        """Kept tensors, or those of `clip` (None: read the reference). ReferenceRejected where it cannot be read."""
        found = self.find_emotion(reference.key)
        return found or self.make_emotion(reference.key, clip or read_prompt(reference))

    def make_voice(self, clip_key: str, clip: Waveform) -> VoiceConditioning:
        """Encode a voice clip, and keep what comes of it in both caches."""
        return self._keep(self.encode_voice(clip), clip_key)

    def make_emotion(self, clip_key: str, clip: Waveform) -> EmotionConditioning:
        """Encode an emotion clip, and keep what comes of it in both caches."""
        return self._keep(self._encode_emotion(clip), clip_key)

    @torch.inference_mode()
    def encode_voice(self, clip: Waveform) -> VoiceConditioning:
        """Run all prompt encoders; nothing is kept."""
        model, config = self._model, self._model.config
        native_hz = config.speech.sample_rate_hz
        native = self._cut(clip, native_hz)
        # The public pipeline makes its 16 kHz from the native signal, not from the file (spec 1.1).
        at_16k = sinc_resample(native, native_hz, _ENCODER_RATE_HZ)
        features = self._encode(at_16k)  # [1,T,D]
        lengths = torch.tensor([features.shape[1]])
        style = model.style(minus_mean(fbank(at_16k))[None])[0]
        base = model.t2s.emotion_vector(features, lengths)[0]
        own = base if native_hz == _ENCODER_RATE_HZ else self._encode_emotion(clip).emotion
        mel, condition = self._s2m_prompt(native, features)
        return VoiceConditioning(
            latents=model.t2s.speaker_latents(features, lengths)[0],
            style=style,
            prompt_mel=mel,
            prompt_condition=condition,
            base_emotion=base,
            own_emotion=own,
        )

    @torch.inference_mode()
    def _encode_emotion(self, clip: Waveform) -> EmotionConditioning:
        # Emotion clips go to 16 kHz directly (spec 1.1).
        features = self._encode(self._cut(clip, _ENCODER_RATE_HZ))
        return EmotionConditioning(self._model.t2s.emotion_vector(features, torch.tensor([features.shape[1]]))[0])

    def _cut(self, clip: Waveform, rate_hz: int) -> Tensor:
        """The clip's samples [n] at another rate, cut to the model's limit from its start."""
        return beginning_at(clip.samples, clip.sample_rate_hz, rate_hz, self._model.config.speech.prompt_limit_s)

    def _encode(self, at_16k: Tensor) -> Tensor:
        """Samples [n] at 16 kHz -> normalised semantic features [1,T,D]."""
        features, mask = speech_features(at_16k, self._model.config.speech.feature_stride)
        self._prompt_encodes += 1
        return self._model.encoder.semantic_features(features[None], mask[None])

    def _s2m_prompt(self, native: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """(mel [80,P], condition [P,C]) of `s2m_prompt_limit_s` of the clip."""
        model, speech = self._model, self._model.config.speech
        limit = int(speech.s2m_prompt_limit_s * speech.sample_rate_hz)
        # Where S2M takes less than the others it need not spend that on the silence before the first word.
        begin = min(_speech_begin(native, speech.sample_rate_hz), max(0, len(native) - limit))
        kept = native[begin : begin + limit]
        mel = log_mel(kept[None], model.config.mel)[0]
        _, embeddings = model.codec.quantize(features)  # the codec's encoder sees the whole clip
        rows_per_sample = embeddings.shape[1] / len(native)
        first, rows = int(begin * rows_per_sample), max(1, round(len(kept) * rows_per_sample))
        condition = model.s2mel.length_regulator(embeddings[:, first : first + rows], mel.shape[1])[0]
        return mel, condition

    def _find(self, kind: type[Conditioning], clip_key: str) -> Conditioning | None:
        key = self._key(kind, clip_key)
        with self._lock:
            held = self._memory.get(key)
            if held is not None:
                self._memory.move_to_end(key)
        if isinstance(held, kind):
            return held
        stored = _read(self._path(key))
        if stored is None or set(stored) != {field.name for field in fields(kind)}:
            return None
        found = kind(**stored)
        self._remember(key, found)
        return found

    def _keep(self, made: Conditioning, clip_key: str) -> Conditioning:
        key = self._key(type(made), clip_key)
        # Copies: nothing cached shares memory with a larger tensor or remembers how it was computed.
        tensors = {field.name: getattr(made, field.name).detach().clone().contiguous() for field in fields(made)}
        kept = type(made)(**tensors)
        try:
            _write(self._path(key), tensors)
        except OSError:
            # A full disk costs an encoder pass after the next start, not this utterance.
            _logger.exception("prepared prompts cannot be kept in %s", self._folder)
        self._remember(key, kept)
        return kept

    def _remember(self, key: str, value: VoiceConditioning | EmotionConditioning) -> None:
        with self._lock:
            self._memory[key] = value
            self._memory.move_to_end(key)
            while len(self._memory) > self._capacity:
                self._memory.popitem(last=False)

    def _key(self, kind: type[Conditioning], clip_key: str) -> str:
        text = f"{_FORMAT}:{kind.kind}:{clip_key}:{self._model.fingerprint}"
        return f"{kind.kind}-{hashlib.sha256(text.encode()).hexdigest()}"

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


def _speech_begin(samples: Tensor, rate_hz: int) -> int:
    """The sample a little before the first that is loud, in samples [n]."""
    level = samples.abs()
    loud = int((level >= level.max() * _SPEECH_BELOW_PEAK).float().argmax())
    return max(0, loud - round(_LEAD_IN_S * rate_hz))


def _read(path: Path) -> dict[str, Tensor] | None:
    """A kept file's tensors; None where there is no file, or where it is damaged and must be made again."""
    try:
        with safe_open(path, framework="pt") as file:
            stored = {key: file.get_tensor(key).clone() for key in file.keys()}
            checksum = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return stored if checksum == _checksum(path.stem, stored) else None


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write beside the target, then rename: no reader ever meets half a file."""
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=".safetensors", dir=path.parent)
    os.close(handle)
    try:
        save_file(dict(tensors), name, metadata={"sha256": _checksum(path.stem, tensors)})
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _checksum(key: str, tensors: Mapping[str, Tensor]) -> str:
    """Of the tensors and of the key they are kept under: a file that was copied over another is damage too."""
    digest = hashlib.sha256(key.encode())
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
