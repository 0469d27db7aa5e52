"""The phone set of the embedded model: the 40 US English phones that its teachers speak, and four marks.

Names are ARPAbet in lower case, with `ax` (schwa) kept apart from `ah` and no stress marks.
"""

from __future__ import annotations

import re

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.marks import UnreadablePronunciation

__all__ = [
    "FIRST_PHONE_ID", "MARKS", "PHONES", "UNKNOWN_ID", "VOCABULARY", "VOWELS", "looks_like_phones", "phone_id",
    "read_phones",
]  # fmt: skip

PHONES: tuple[str, ...] = tuple(
    "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh".split()
)
VOWELS = frozenset("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split())
MARKS: tuple[str, ...] = (",", ".", "?", "!")

UNKNOWN_ID = 2
FIRST_PHONE_ID = 3 + len(MARKS)
VOCABULARY: tuple[str, ...] = ("<s>", "</s>", "<unk>", *MARKS, *PHONES)
"""Names by id: start 0, stop 1, unknown 2, the marks, then the phones; 47 in all."""

_IDS = {name: index for index, name in enumerate(VOCABULARY)}


def phone_id(name: str) -> int:
    """Id of a phone or mark by its name, such as `ax` or `?`.

    Raises InvalidRequest (reason `PHONE_UNKNOWN`) for a name that is not in the set.
    """
    try:
        return _IDS[name]
    except KeyError:
        raise InvalidRequest(
            f"no phone or mark is called {name!r}", reason="PHONE_UNKNOWN", metadata={"phone": name}
        ) from None


_VOWEL = re.compile("([a-z]+)([012]?)")
_WHAT_IS_READ = "an ARPAbet phone (such as S IY1 K W AH0 L, stress digits may be left out)"


def read_phones(written: str) -> tuple[str, ...]:
    """Phones of `S IY1 K W AH0 L` or `s iy k w ax l`: apart by blanks, in any case, AH0 being the schwa.

    Raises UnreadablePronunciation.
    """
    return tuple(_read_phone(part) for part in written.split())


def _read_phone(part: str) -> str:
    match = _VOWEL.fullmatch(part.lower())
    if match is not None:
        name = "ax" if match.groups() == ("ah", "0") else match[1]
        if name in PHONES and (not match[2] or name in VOWELS):
            return name
    raise UnreadablePronunciation(part, _WHAT_IS_READ)


def looks_like_phones(written: str) -> bool:
    """Whether this can hardly be anything but ARPAbet: several phones, one of them a vowel, and nothing else."""
    try:
        phones = read_phones(written)
    except UnreadablePronunciation:
        return False
    return len(phones) > 1 and not VOWELS.isdisjoint(phones)
