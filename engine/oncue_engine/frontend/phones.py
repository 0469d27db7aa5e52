"""The phone set of the embedded model: the 40 US English phones that its teachers speak, and four marks.

Names are ARPAbet in lower case, with `ax` (schwa) kept apart from `ah` and no stress marks.
"""

from __future__ import annotations

from oncue_engine.errors import InvalidRequest

__all__ = ["FIRST_PHONE_ID", "MARKS", "PHONES", "UNKNOWN_ID", "VOCABULARY", "VOWELS", "phone_id"]

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
