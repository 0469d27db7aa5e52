"""Which language a text is in: that of a tag that the caller gives, or a guess by the script."""

from __future__ import annotations

import re
from collections.abc import Sequence

from oncue_engine.errors import InvalidRequest

__all__ = ["guess_language", "language_of"]

_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_KANA = re.compile("[\u3040-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc]")
_SPANISH = re.compile("[¿¡ñáíóúü]", re.IGNORECASE)
"""Not é: English has it in borrowed words."""

_SIGNS = (("ja", _KANA), ("zh", _HAN), ("ar", _ARABIC), ("es", _SPANISH))
_FIELD = "language"


def language_of(tag: str, known: Sequence[str]) -> str:
    """The language among `known` that a BCP 47 tag names, whose first part counts in any case; "" for an empty tag.

    Raises InvalidRequest (field `language`): LANGUAGE_INVALID for what is no tag, LANGUAGE_UNSUPPORTED (metadata
    `supported`) for a language that is not known.
    """
    if not tag:
        return ""
    if not _TAG.fullmatch(tag):
        raise InvalidRequest(f"{tag[:40]!r} is not a language tag", reason="LANGUAGE_INVALID", field=_FIELD)
    language = tag.split("-", 1)[0].lower()
    if language not in known:
        raise InvalidRequest(
            f"the loaded model does not speak {language}; it speaks {', '.join(known)}",
            reason="LANGUAGE_UNSUPPORTED",
            field=_FIELD,
            metadata={"supported": ",".join(known)},
        )
    return language


def guess_language(text: str, known: Sequence[str]) -> str:
    """The first of `known` that the script speaks for: kana ja, Chinese characters zh, Arabic letters ar, ¿ ¡ ñ á í ó ú
    ü es; otherwise en, or the first of `known`.
    """
    for language, sign in _SIGNS:
        if language in known and sign.search(text):
            return language
    return "en" if "en" in known else known[0]
