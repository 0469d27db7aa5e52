"""Prompt clips -> plain tensors that speech needs, made once for each (clip, model) and kept.

What is made of a clip is the model's own affair (`PromptEncoder`); here it is kept, in memory (least recently
used go first) and on disk, as safetensors under a hash of the clip's key (requests.Reference) and the model's
fingerprint. An utterance holds the tensors it uses, so that what is evicted meanwhile stays valid for it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .frontend.audio import Waveform
from .frontend.prompt_clip import read_prompt
from .requests import Reference

__all__ = ["Conditioner", "EmotionConditioning", "Fingerprinted", "PromptEncoder", "VoiceConditioning"]

_logger = logging.getLogger(__name__)

_FORMAT = "1"


@dataclass(frozen=True, slots=True, eq=False)
class VoiceConditioning:
    """What one voice clip gives any renderer. P prompt frames; a kind of model adds what else it needs."""

    kind: ClassVar[str] = "voice"

    style: Tensor
    """Style of the speaker [S]."""
    prompt_mel: Tensor
    """Log mel [80,P] that the flow continues."""
    prompt_condition: Tensor
    """The flow's condition [P,C] of the same frames."""


@dataclass(frozen=True, slots=True, eq=False)
class EmotionConditioning:
    """What one emotion clip gives."""

    kind: ClassVar[str] = "emotion"

    emotion: Tensor
    """Emotion vector [M]."""


Conditioning = TypeVar("Conditioning", bound=VoiceConditioning | EmotionConditioning)


class PromptEncoder(Protocol):
    """How one model makes tensors of clips, and one emotion vector [M] of what an utterance asks for.

    `encode_*` run one at a time, on a thread of the engine; the same clip gives the same tensors. The others are quick.
    What they return of `voice_type` is given back to the same model's other parts.
    """

    @property
    def voice_type(self) -> type[VoiceConditioning]:
        """What `encode_voice` returns: its fields are what is kept on disk."""

    def encode_voice(self, clip: Waveform) -> VoiceConditioning: ...

    def encode_emotion(self, clip: Waveform) -> EmotionConditioning:
        """Unsupported where the model has no emotions."""

    def own_emotion(self, voice: VoiceConditioning) -> Tensor:
        """The emotion of the voice's own clip [M]; M may be 0."""

    def toward_clip(self, voice: VoiceConditioning, clip: EmotionConditioning, strength: float) -> Tensor:
        """From the voice's own emotion (strength 0) to the clip's (1): [M]."""

    def weighted(self, voice: VoiceConditioning, weights: Sequence[float], chance: int | None) -> Tensor:
        """The emotion of eight weights in the order of EMOTION_NAMES: [M].

        `chance`: a seed by which samples of each emotion are chosen; None: those that are nearest to the voice.
        """

    @property
    def passes(self) -> int:
        """Passes of the encoder over clips since the start."""


class Fingerprinted(Protocol):
    """What the cache asks of a model."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever changes the tensors of a clip."""

    @property
    def prompts(self) -> PromptEncoder: ...


class Conditioner:
    """Prompt encoders behind two caches. `find_*` may be called from any thread, all else by the engine's own."""

    def __init__(self, model: Fingerprinted, folder: Path, *, capacity: int = 64) -> None:
        """`folder` is made if needed; `capacity` clips of each kind stay in memory."""
        self._fingerprint = model.fingerprint
        self._prompts = model.prompts
        self._folder = folder
        self._capacity = capacity
        self._lock = threading.Lock()
        self._memory: OrderedDict[str, VoiceConditioning | EmotionConditioning] = OrderedDict()
        self._uncounted = self._prompts.passes
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def prompts(self) -> PromptEncoder:
        """What it keeps the results of."""
        return self._prompts

    @property
    def prompt_encodes(self) -> int:
        """Passes of the semantic encoder over a prompt, since the start."""
        return self._prompts.passes - self._uncounted

    def reset_prompt_encodes(self) -> None:
        """Count from 0 again: a warm-up is no prompt."""
        self._uncounted = self._prompts.passes

    def find_voice(self, clip_key: str) -> VoiceConditioning | None:
        """The kept tensors of a voice clip, from memory or disk; None where its clip must be encoded."""
        return self._find(self._prompts.voice_type, clip_key)

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
        return self._prompts.encode_voice(clip)

    @torch.inference_mode()
    def _encode_emotion(self, clip: Waveform) -> EmotionConditioning:
        return self._prompts.encode_emotion(clip)

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
        text = f"{_FORMAT}:{kind.kind}:{clip_key}:{self._fingerprint}"
        return f"{kind.kind}-{hashlib.sha256(text.encode()).hexdigest()}"

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"


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
