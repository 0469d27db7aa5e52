"""Word errors: two texts as plain words, and the edits that turn one into the other."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["normal_words", "number_words", "word_edits"]

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(number: int) -> list[str]:
    """Words of 0 to 999 999, as spoken without `and`. Raises ValueError outside."""
    if not 0 <= number <= 999_999:
        raise ValueError(f"{number} is not in 0 to 999999")
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10], *(number_words(number % 10) if number % 10 else [])]
    unit, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    return [*number_words(number // unit), name, *(number_words(number % unit) if number % unit else [])]


def normal_words(text: str) -> list[str]:
    """Lower-case words: numbers spelt out, apostrophes kept inside words only, all other marks taken as blanks."""
    plain = text.lower().replace("’", "'")
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", plain)
    plain = re.sub(r"\d{1,6}", lambda digits: " " + " ".join(number_words(int(digits[0]))) + " ", plain)
    return re.findall(r"[a-z]+(?:'[a-z]+)*", plain)


def word_edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn `reference` into `hypothesis`."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        above, row = row, [i]
        for j, heard in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (expected != heard)))
    return row[-1]
