"""Pinyin syllables with a tone digit inside Chinese text (spec 2.3)."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["PINYIN", "correct_pinyin", "split_pinyin"]

_INITIAL = "(?:zh|ch|sh|[bpmfdtnlgkhjqxzcsryw])"
_FINALS = (
    "iang iong uang üang vang uan üan van uai ian iao ang eng ing ong ai ei ua ui uo ao ou ia iu ie ue üe ve an en in "
    "un vn a e i o u ü v"
).split()
_SYLLABLE = rf"(?:{_INITIAL}?(?:{'|'.join(_FINALS)})|ng|er)[1-5]"

PINYIN = re.compile(rf"(?<![a-z]){_SYLLABLE}", re.IGNORECASE)
"""A syllable and its tone digit, not preceded by a letter: `xuan4` and `jve2`, but not the end of `beta1`."""

_WRITTEN_U = re.compile(r"([jqx])[uü](?=(?:n|e|an)?\d)", re.IGNORECASE)


def correct_pinyin(syllable: str) -> str:
    """After j, q and x a written u is ü, spelled V, and the syllable goes upper case; others stay as they are."""
    if not _WRITTEN_U.match(syllable):
        return syllable
    return _WRITTEN_U.sub(r"\1v", syllable).upper()


_SYLLABLES = re.compile(_SYLLABLE, re.IGNORECASE)
_RUN = re.compile(rf"(?:{_SYLLABLE})+", re.IGNORECASE)
_TONE_MARKS = {"\u0304": "1", "\u0301": "2", "\u030c": "3", "\u0300": "4"}
_MARKED = re.compile(f"[{''.join(_TONE_MARKS)}]")


def split_pinyin(written: str) -> tuple[str, ...]:
    """Syllables with tone digits of a run such as `chong2qing4`, or of one syllable with a tone mark, `chóng`.

    Empty for anything else.
    """
    apart = unicodedata.normalize("NFD", written)
    marks = _MARKED.findall(apart)
    if len(marks) == 1:
        written = unicodedata.normalize("NFC", _MARKED.sub("", apart)) + _TONE_MARKS[marks[0]]
    return tuple(_SYLLABLES.findall(written)) if _RUN.fullmatch(written) else ()
