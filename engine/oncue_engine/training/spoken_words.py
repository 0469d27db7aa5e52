"""A transcript as states for forced alignment, and the way back: phones with their times, pauses and marks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.arpabet import ArpabetTokenizer
from oncue_engine.frontend.english import EnglishNormaliser
from oncue_engine.frontend.phones import MARKS
from oncue_engine.frontend.pronounce import Pronouncer
from oncue_engine.frontend.text import MAX_CHARS, check_text
from oncue_engine.training.features import PHONES
from oncue_engine.training.phone_alignment import State

__all__ = ["Reader", "Spoken", "SpokenWords"]

_PAUSE = PHONES.index("pau")
_SHORTEST_PAUSE_S = 0.08
"""A shorter silence within speech is the closure of a stop, not a pause."""


@dataclass(frozen=True, slots=True)
class Spoken:
    phones: tuple[str, ...]
    ends_s: tuple[float, ...]
    sentence: str
    """The words, with a mark at each pause and at the end."""


@dataclass(frozen=True, slots=True)
class SpokenWords:
    """Words as they will be read, each with its phones and the mark after it (or none)."""

    words: tuple[str, ...]
    phones: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...]

    def states(self) -> list[State]:
        """Every phone, with a pause that may be left out before, between and after the words."""
        found = [State(_PAUSE, optional=True)]
        for phones in self.phones:
            found += [State(PHONES.index(phone)) for phone in phones]
            found.append(State(_PAUSE, optional=True))
        return found

    def spoken(self, visited: npt.NDArray[np.int64], ends_s: npt.NDArray[np.float64], seconds: float) -> Spoken:
        """From the states that the best path went through and when it left each. The last one lasts to the end."""
        after_word = np.cumsum([0] + [len(phones) + 1 for phones in self.phones])  # state of the pause after word k - 1
        names = [PHONES[state.phone] for state in self.states()]
        phones: list[str] = []
        ends: list[float] = []
        paused: set[int] = set()
        begin = 0.0
        for state, end in zip(visited.tolist(), ends_s.tolist(), strict=True):
            outer = state in (0, int(after_word[-1]))
            if names[state] != "pau" or outer or end - begin >= _SHORTEST_PAUSE_S:
                phones.append(names[state])
                ends.append(end)
                if names[state] == "pau" and not outer:
                    paused.add(int(np.searchsorted(after_word, state)) - 1)
            else:
                ends[-1] = end
            begin = end
        ends[-1] = seconds
        return Spoken(tuple(phones), tuple(ends), self._sentence(paused))

    def _sentence(self, paused: set[int]) -> str:
        last = len(self.words) - 1
        parts = []
        for k, word in enumerate(self.words):
            mark = (self.marks[k] or ".") if k == last else (self.marks[k] or ",") if k in paused else ""
            parts.append(word + mark)
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Reader:
    """The embedded model's front end, as far as the phones."""

    normaliser: EnglishNormaliser
    tokenizer: ArpabetTokenizer

    @classmethod
    def load(cls) -> Reader:
        pronouncer = Pronouncer.load()
        return cls(EnglishNormaliser(pronouncer.dictionary), ArpabetTokenizer(pronouncer))

    def read(self, text: str) -> SpokenWords:
        """Raises InvalidRequest for a text that is empty or cannot be pronounced."""
        check_text(text, MAX_CHARS)
        normal = self.normaliser.normalize(text).text
        words: list[str] = []
        phones: list[list[str]] = []
        marks: list[str] = []
        at = -1
        for piece in self.tokenizer.encode(normal):
            if piece.text in MARKS:
                marks[-1] = piece.text
                continue
            if piece.char_begin != at:
                at = piece.char_begin
                words.append(normal[piece.char_begin : piece.char_end])
                phones.append([])
                marks.append("")
            phones[-1].append(piece.text)
        if not words:
            raise InvalidRequest("the text has nothing to pronounce", reason="TEXT_UNPRONOUNCEABLE", field="text")
        return SpokenWords(tuple(words), tuple(map(tuple, phones)), tuple(marks))
