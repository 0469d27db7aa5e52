"""Numbers as US English words: cardinals, ordinals, years, decimals, digits one by one."""

from __future__ import annotations

__all__ = ["cardinal", "decimal", "digits", "ordinal", "plural", "year"]

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
_MAX_DIGITS = 3 * len(_SCALES)
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip


def cardinal(number: str) -> str:
    """Words for a run of digits, such as "1204" (one thousand two hundred four).

    Digits are read one by one when the number starts with 0 or has more than 18 digits. Raises ValueError when `number`
    is not digits.
    """
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"not a run of digits: {number!r}")
    if len(number) > _MAX_DIGITS or (number.startswith("0") and len(number) > 1):
        return digits(number)
    value = int(number)
    if value == 0:
        return "zero"
    groups: list[str] = []
    for scale in _SCALES:
        value, group = divmod(value, 1000)
        if group:
            groups.append(f"{_below_thousand(group)} {scale}".strip())
        if not value:
            break
    groups.reverse()
    return " ".join(groups)


def _below_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    words = [f"{_UNITS[hundreds]} hundred"] if hundreds else []
    if rest:
        tens, units = divmod(rest, 10)
        if rest < 20:
            words.append(_UNITS[rest])
        else:
            words.append(_TENS[tens])
            if units:
                words.append(_UNITS[units])
    return " ".join(words)


def ordinal(number: str) -> str:
    """Words for a place in an order, "21" being twenty first. Raises ValueError when `number` is not digits."""
    head, _, last = cardinal(number.lstrip("0") or "0").rpartition(" ")
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return f"{head} {last}".strip()


def digits(number: str) -> str:
    """Digits one by one; other characters are passed over."""
    return " ".join(_UNITS[int(digit)] for digit in number if digit.isascii() and digit.isdigit())


def year(number: str) -> str:
    """A year of three or four digits as it is spoken: nineteen oh five, two thousand nine, twenty twenty four."""
    value = int(number)
    century, rest = divmod(value, 100)
    if not 1000 <= value <= 2099 or 2000 <= value <= 2009 or (rest == 0 and century % 10 == 0):
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(str(century))} hundred"
    if rest < 10:
        return f"{cardinal(str(century))} oh {_UNITS[rest]}"
    return f"{cardinal(str(century))} {cardinal(str(rest))}"


def decimal(whole: str, fraction: str) -> str:
    """Words for `whole`.`fraction`; an empty whole is not said ("point five")."""
    return f"{cardinal(whole) if whole else ''} point {digits(fraction)}".strip()


def plural(words: str) -> str:
    """Plural of number words: "sixty" to "sixties", "two thousand" to "two thousands", "six" to "sixes"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")
