"""Words to emotion weights by the public language model, in a process of its own that cannot hold up audio.

It takes a gigabyte and seconds to load, and seconds for each answer: it comes with the first words, not before.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, GenerationFailed
from ..requests import EMOTION_NAMES
from .qwen_answer import read_answer
from .side_process import SideProcess

__all__ = ["QwenWords"]

_logger = logging.getLogger(__name__)

_MODULE = "oncue_engine.words.qwen_process"
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_LOAD_S = 180.0
_ANSWER_S = 300.0
"""Far beyond what an answer takes even where audio leaves it a tenth of one core: this one does not come any more."""


class QwenWords:
    """WordsWeigher over a folder. Every method may be called from any thread; `close` it in the end."""

    def __init__(self, folder: Path, *, load_s: float = _LOAD_S, answer_s: float = _ANSWER_S) -> None:
        """Use `QwenWords.open`. `load_s`, `answer_s`: how long the model may take to load, and for one answer."""
        self._folder = folder
        self._load_s = load_s
        self._answer_s = answer_s
        self._asking = threading.Lock()
        self._state = threading.Lock()
        self._process: SideProcess | None = None
        self._broken = ""
        self._closed = False

    @classmethod
    def open(cls, folder: Path) -> QwenWords:
        """Check that a folder has what it needs; the weights are only read with the first words.

        CheckpointError names the file that is missing or damaged.
        """
        _json_object(folder / "config.json")
        if not (folder / "tokenizer.json").is_file():
            raise _missing(f"{folder / 'tokenizer.json'} is missing")
        if not any(folder.glob("*.safetensors")):
            raise _missing(f"{folder} has no *.safetensors")
        has_template = any((folder / name).is_file() for name in _TEMPLATES)
        if not has_template and "chat_template" not in _json_object(folder / "tokenizer_config.json"):
            raise _missing(f"{folder} has no chat template")
        return cls(folder)

    @property
    def emotions(self) -> tuple[str, ...]:
        """All of the public eight."""
        return EMOTION_NAMES

    @property
    def pid(self) -> int | None:
        """The process, for who wants to watch it; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def weigh(self, text: str) -> dict[str, float]:
        """Weights of the emotions that `text` carries or describes, each in [0, 1.2]; their sum is what the model says.

        Blocks for seconds: the texts of several callers are answered one after the other. ValueError for a text that is
        empty or no valid Unicode; CheckpointError for a folder that does not load; GenerationFailed with one of

            EMOTION_WORDS_UNREADABLE   the model said something else; it would say it again
            EMOTION_WORDS_TIMEOUT      no answer came in time; the model is loaded anew for the next text
            EMOTION_WORDS_CRASHED      its process ended or failed; it is started anew for the next text
            ENGINE_CLOSED
        """
        text = " ".join(text.split())
        if not text:
            raise ValueError("the emotion's words are empty")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"the emotion's words are no valid Unicode: {error.reason}") from error
        with self._asking:
            answer = self._ask(text)
        return read_answer(answer, text)

    def warm_up(self) -> None:
        """Nothing: a model that nobody may ask is not worth its memory."""

    def close(self) -> None:
        """End the process."""
        with self._state:
            self._closed = True
            process = self._process
            if process is not None:
                process.kill()
        # Whoever waits for an answer lets go of the process.
        with self._asking:
            self._drop()

    def _ask(self, text: str) -> str:
        fresh = self._process is None
        try:
            process = self._running()
            process.send({"text": text})
            said = process.receive(self._answer_s)
        except TimeoutError as error:
            self._kill()
            raise _failed(f"the model that reads emotions gave {error}", "EMOTION_WORDS_TIMEOUT") from error
        except (EOFError, OSError) as error:
            status = self._drop()
            if self._closed:
                raise _failed("the engine was closed", "ENGINE_CLOSED") from error
            if not fresh:
                # It may have ended long ago, for want of memory, say. This text is not to blame.
                _logger.warning("the model that reads emotions ended with %s; it is started anew", status)
                return self._ask(text)
            raise _failed(
                f"the process of the model that reads emotions ended with {status}", "EMOTION_WORDS_CRASHED"
            ) from error
        if "answer" not in said:
            raise _failed(f"the model that reads emotions failed: {said.get('failed')}", "EMOTION_WORDS_CRASHED")
        return str(said["answer"])

    def _running(self) -> SideProcess:
        """The process, its model loaded."""
        if self._broken:
            raise CheckpointError(self._broken)
        with self._state:
            if self._closed:
                raise EOFError
            if self._process is not None:
                return self._process
            process = self._process = SideProcess(_MODULE, str(self._folder))
        said: dict[str, Any] = process.receive(self._load_s)
        if "broken" in said:
            self._drop()
            self._broken = str(said["broken"])
            raise CheckpointError(self._broken)
        return process

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self._drop()

    def _drop(self) -> int | None:
        """Let go of the process; returns how it ended, None where there was none."""
        with self._state:
            process, self._process = self._process, None
        return None if process is None else process.close()


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(f"{path} is missing") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return content


def _missing(message: str) -> CheckpointError:
    return CheckpointError(message, reason="CHECKPOINT_FILE_MISSING")


def _failed(message: str, reason: str) -> GenerationFailed:
    return GenerationFailed(message, reason=reason)
