"""How terms are said: the lexicon of a request, and the glossary of a model or a server, which is the same to a text.

A term is read as another written form, which then goes through normalisation like the text around it, or said as a
pronunciation tells. Replacements are not searched for terms again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.marks import Marks, Pronounce, Pronounced, UnreadablePronunciation
from oncue_engine.frontend.terms import Terms, find
from oncue_engine.frontend.tracked_text import TrackedText
from oncue_engine.requests import LexiconEntry

__all__ = ["EMPTY_LEXICON", "MAX_CHARS", "MAX_ENTRIES", "Lexicon", "replace_terms"]

MAX_ENTRIES = 500
"""In one request."""
MAX_CHARS = 100
"""Of a term, a reading or a pronunciation."""

_FIELD = "lexicon.entries"
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:-[A-Za-z0-9]{1,8})*")
_Replacement = str | Pronounced


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Entries that were checked and can be looked up, by the language they are for ("" for any)."""

    terms: dict[str, Terms[_Replacement]]

    @classmethod
    def checked(
        cls,
        entries: Sequence[LexiconEntry],
        pronounce: Pronounce,
        languages: Sequence[str],
        *,
        max_entries: int | None = MAX_ENTRIES,
    ) -> Lexicon:
        """Of `entries`, those that a reader of `languages` (such as `en`) has a use for; all are checked.

        Raises InvalidRequest (field `lexicon.entries[i]` and the part of it): `LEXICON_TOO_LONG`,
        `LEXICON_TERM_INVALID`, `LEXICON_TERM_TWICE`, `LEXICON_READING_REQUIRED`, `LEXICON_READING_INVALID`,
        `LEXICON_PRONUNCIATION_INVALID`, `LEXICON_LANGUAGE_INVALID`.
        """
        if max_entries is not None and len(entries) > max_entries:
            raise InvalidRequest(
                f"the lexicon has {len(entries)} entries; the limit is {max_entries}",
                reason="LEXICON_TOO_LONG",
                field=_FIELD,
                metadata={"max_entries": str(max_entries), "entries": str(len(entries))},
            )
        found: dict[str, dict[str, _Replacement]] = {}
        seen: dict[tuple[str, str], int] = {}
        for index, entry in enumerate(entries):
            field = f"{_FIELD}[{index}]"
            _check_written(entry.term, "TERM", f"{field}.term")
            language = _language(entry.language, f"{field}.language")
            first = seen.setdefault((language, entry.term.strip().lower()), index)
            if first != index:
                raise InvalidRequest(
                    f"the term {entry.term!r} is in the lexicon twice",
                    reason="LEXICON_TERM_TWICE",
                    field=f"{field}.term",
                    metadata={"first": str(first), "second": str(index)},
                )
            replacement = _replacement(entry, pronounce, field, wanted=not language or language in languages)
            if replacement is not None:
                found.setdefault(language, {})[entry.term.strip()] = replacement
        return cls({language: Terms(values) for language, values in found.items()})

    def indexes(self, language: str) -> list[Terms[_Replacement]]:
        """What counts in a text of this language; the earlier one first."""
        return [self.terms[key] for key in (language, "") if key in self.terms]


EMPTY_LEXICON = Lexicon({})


def replace_terms(
    text: TrackedText, lexicons: Sequence[Lexicon], language: str, marks: Marks, max_chars: int
) -> TrackedText:
    """`text` with readings in place of terms, and marks where a pronunciation is given.

    The longest term counts, of equally long ones that of the earlier lexicon. Raises InvalidRequest (field `lexicon`):
    `LEXICON_TEXT_TOO_LONG` where the text would come out longer than `max_chars`.
    """
    indexes = [index for lexicon in lexicons for index in lexicon.indexes(language)]
    if not indexes:
        return text
    return text.replaced(_replaced(text, indexes, marks, max_chars))


def _replaced(
    text: TrackedText, indexes: Sequence[Terms[_Replacement]], marks: Marks, max_chars: int
) -> Iterator[tuple[int, int, str]]:
    given = dict[Pronounced, str]()
    length = len(text.text)
    for start, stop, replacement in find(text.text, indexes):
        if isinstance(replacement, str):
            written = replacement
        else:
            written = given.get(replacement) or marks.add(replacement)
            given[replacement] = written
        length += len(written) - (stop - start)
        if length > max(max_chars, len(text.text)):
            raise InvalidRequest(
                f"with the readings of its terms the text has more than {max_chars} characters",
                reason="LEXICON_TEXT_TOO_LONG",
                field="lexicon",
                metadata={"max_chars": str(max_chars)},
            )
        yield start, stop, written


def _replacement(entry: LexiconEntry, pronounce: Pronounce, field: str, *, wanted: bool) -> _Replacement | None:
    if (entry.reading is None) == (entry.pronunciation is None):
        raise InvalidRequest(
            f"the term {entry.term!r} needs a reading or a pronunciation, and not both",
            reason="LEXICON_READING_REQUIRED",
            field=field,
        )
    if entry.reading is not None:
        _check_written(entry.reading, "READING", f"{field}.reading")
        return entry.reading.strip() if wanted else None
    assert entry.pronunciation is not None
    _check_written(entry.pronunciation, "PRONUNCIATION", f"{field}.pronunciation")
    if not wanted:
        # For another model, which reads pronunciations of its own.
        return None
    try:
        return Pronounced(entry.term.strip(), pronounce(entry.term.strip(), entry.pronunciation.strip()))
    except UnreadablePronunciation as error:
        raise InvalidRequest(
            f"the pronunciation {entry.pronunciation!r} of {entry.term!r} cannot be said: {error}",
            reason="LEXICON_PRONUNCIATION_INVALID",
            field=f"{field}.pronunciation",
            metadata={"part": error.part, "reads": error.reads},
        ) from error


def _check_written(written: str, what: str, field: str) -> None:
    if not 0 < len(written) <= MAX_CHARS or not written.strip():
        why = f"has {len(written)} characters; it needs 1 to {MAX_CHARS} that are not blank"
    elif any(unicodedata.category(character) in ("Cc", "Cs", "Co", "Zl", "Zp") for character in written):
        why = "has a control character"
    elif any(character in "<|>" for character in written):
        why = "has one of < | >, which are kept for pronunciations inside a text"
    else:
        return
    raise InvalidRequest(
        f"the {what.lower()} {written[:MAX_CHARS]!r} {why}",
        reason=f"LEXICON_{what}_INVALID",
        field=field,
        metadata={"max_chars": str(MAX_CHARS), "chars": str(len(written))},
    )


def _language(tag: str | None, field: str) -> str:
    if tag is None:
        return ""
    match = _LANGUAGE.fullmatch(tag)
    if match is None:
        raise InvalidRequest(
            f"{tag[:40]!r} is no language tag, such as en or zh-CN", reason="LEXICON_LANGUAGE_INVALID", field=field
        )
    return match[1].lower()
