"""Unicode to the plain characters that English is read from: quotes, dashes, fractions, accents, decorations."""

from __future__ import annotations

import re
import unicodedata

from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["fold_unicode"]

_REPLACED = {
    **dict.fromkeys("‘’‚‛′ʼ`´＇", "'"),
    **dict.fromkeys("“”„‟″«»‹›「」『』《》〈〉＂", '"'),
    **dict.fromkeys("‐‑‒−﹣－", "-"),
    **dict.fromkeys("–", "–"),
    **dict.fromkeys("—―⸺⸻", "—"),
    **dict.fromkeys("，、､", ","),
    **dict.fromkeys("。｡", "."),
    **dict.fromkeys("•·‣◦●○■□▪►", ","),
    **dict.fromkeys("™®©℠¶†‡", ""),
    "…": "...", "‽": "?!", "¿": "", "¡": "", "⁄": "/", "×": "*", "÷": " divided by ", "±": " plus or minus ",
    "≈": " about ", "≤": " at most ", "≥": " at least ", "≠": " is not ", "→": ", ",
    "€": "€", "£": "£", "¥": "¥", "￥": "¥",
    "¢": "¢", "°": "°", "º": "°", "§": " section ", "№": "No. ", "µ": "µ", "μ": "µ",
    "Ω": " ohms ", "∞": " infinity ", "√": " root ",
    "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
    "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "ŋ": "ng",
    "½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4", "⅕": " 1/5", "⅛": " 1/8", "⅜": " 3/8", "⅝": " 5/8",
    "⅞": " 7/8",
}  # fmt: skip
_GREEK_NAMES = dict(
    zip(
        "αβγδεζηθικλμνξοπρσςτυφχψω",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau "
        "upsilon phi chi psi omega".split(),
        strict=True,
    )
)
_LONE_GREEK = re.compile(r"(?<![α-ωΑ-Ωά-ώ])(?!\u03bc)[α-ωΑ-Ω](?![α-ωΑ-Ωά-ώ])")


def fold_unicode(text: TrackedText) -> TrackedText:
    """Every character in ASCII, or one of `– — € £ ¥ ¢ ° µ`; letters of other scripts stay as they are.

    Accents go, lone Greek letters are named, emoji and other pictures become blanks, invisible characters vanish.
    """
    if text.text.isascii():
        return text
    text = text.sub(_LONE_GREEK, lambda match: f" {_GREEK_NAMES[match.group().lower()]} ")
    return text.map_characters(_fold)


def _fold(character: str) -> str:
    if character.isascii():
        return character
    if character in _REPLACED:
        return _REPLACED[character]
    category = unicodedata.category(character)
    if category.startswith("Z"):
        return " "
    if category in ("Cf", "Mn", "Me") or "VARIATION SELECTOR" in unicodedata.name(character, ""):
        return ""
    if category == "Nd":
        return str(unicodedata.digit(character))
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    if plain and all(c.isascii() or c in _REPLACED for c in plain):
        return "".join(_REPLACED.get(c, c) for c in plain)
    return character if category.startswith(("L", "N")) else " "
