"""How terms are said in an utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oncue.v1 import speech_service_pb2

__all__ = ["LexiconArgument", "Pronunciation", "Reading", "lexicon_message"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read in a term's place, as if it had been written there."""

    text: str
    language: str | None = None
    """BCP 47: only texts that are read in this language have the term. None: all do."""


@dataclass(frozen=True, slots=True)
class Pronunciation:
    """How a term sounds: `Pronunciation("JH IH1 F")` for the embedded model, `Pronunciation("chong2")` for public."""

    text: str
    language: str | None = None
    """As for Reading."""


Said = str | Reading | Pronunciation
LexiconArgument = Mapping[str, Said | Sequence[Said]]
"""Terms, in any case, and how each is said: a str is a Reading for all languages, and there may be one for each."""


def lexicon_message(lexicon: LexiconArgument | None) -> speech_service_pb2.Lexicon | None:
    """The server checks terms and limits. Raises TypeError for a value of another kind."""
    if not lexicon:
        return None
    return speech_service_pb2.Lexicon(
        entries=[
            _entry(term, said)
            for term, all_said in lexicon.items()
            for said in (all_said if isinstance(all_said, list | tuple) else (all_said,))
        ]
    )


def _entry(term: str, said: object) -> speech_service_pb2.LexiconEntry:
    match said:
        case str():
            return speech_service_pb2.LexiconEntry(term=term, reading=said)
        case Reading(text, language):
            return speech_service_pb2.LexiconEntry(term=term, reading=text, language=language)
        case Pronunciation(text, language):
            return speech_service_pb2.LexiconEntry(term=term, pronunciation=text, language=language)
    raise TypeError(f"{term!r} is said as {said!r}, which is no str, Reading or Pronunciation")
