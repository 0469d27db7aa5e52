"""Everything with digits in it, as English words: dates, times, money, units, telephone numbers, fractions and more.

`NUMBER_RULES` are applied in order, each to what the ones before have left; most specific first.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from oncue_engine.frontend.number_words import cardinal, decimal, digits, ordinal, plural, year

__all__ = ["MONTHS", "NUMBER_RULES", "SENTENCE_STARTERS", "Rule", "ends_sentence", "say_number"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]

MONTHS = (
    "January February March April May June July August September October November December".split()
)  # fmt: skip
_MONTH_OF = {name[:3].lower(): name for name in MONTHS}
_MONTH = r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?" \
         r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"  # fmt: skip
_WHOLE = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_AMOUNT = rf"(?P<whole>{_WHOLE})?(?:(?<=\d)\.(?P<part>\d+)|(?<![\d.])\.(?P<only>\d+))?"
_SCALE = r"(?:\s?(?P<scale>hundred|thousand|million|billion|trillion|[kK]|[mM]n?|[bB]n?|[tT]n)\b)?"
_SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "tn": "trillion"}
_NOT_GLUED = r"(?<![\w.])"
_HALF_DAY = r"(?:\s?(?P<half>[aApP])\.?\s?[mM]\b\.?)"

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
}
_UNITS = {
    "km/h": "kilometer per hour", "kph": "kilometer per hour", "mph": "mile per hour", "m/s": "meter per second",
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer", "nm": "nanometer",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce", "ft": "foot",
    "mi": "mile", "yd": "yard", "yds": "yard", "sq ft": "square foot", "L": "liter", "l": "liter", "mL": "milliliter",
    "ml": "milliliter", "GB": "gigabyte", "MB": "megabyte", "KB": "kilobyte", "kB": "kilobyte", "TB": "terabyte",
    "Mbps": "megabit per second", "Gbps": "gigabit per second", "kbps": "kilobit per second", "Hz": "hertz",
    "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "W": "watt", "kW": "kilowatt", "MW": "megawatt",
    "kWh": "kilowatt hour", "V": "volt", "mV": "millivolt", "mA": "milliamp", "dB": "decibel", "ms": "millisecond",
    "µs": "microsecond", "s": "second", "sec": "second", "secs": "second", "min": "minute", "mins": "minute",
    "h": "hour", "hr": "hour", "hrs": "hour", "fps": "frame per second", "px": "pixel", "rpm": "revolution per minute",
    "cal": "calorie", "kcal": "kilocalorie", "ha": "hectare", "bpm": "beat per minute",
    "m²": "square meter", "tsp": "teaspoon", "tbsp": "tablespoon", "USD": "dollar", "EUR": "euro", "GBP": "pound",
}  # fmt: skip
_DENOMINATORS = {2: "half", 4: "quarter"}
SENTENCE_STARTERS = frozenset(
    "the then he she it i we they this that but and a an in on at so if you there what when how why who".split()
)
_PLAIN_PAIRS = {"24/7": "twenty four seven", "9/11": "nine eleven"}


def ends_sentence(match: re.Match[str]) -> bool:
    """Whether a point at the end of `match` may end a sentence: the text ends, or a usual first word follows."""
    rest = match.string[match.end() :].lstrip(" \"')]")
    following = re.match(r"[A-Z][a-z]*\b", rest)
    return not rest or (following is not None and following.group().lower() in SENTENCE_STARTERS)


def say_number(whole: str, part: str = "") -> str:
    """Words for a number as written, commas allowed, `part` after the point."""
    plain = whole.replace(",", "")
    if part:
        return decimal(plain, part)
    return digits(plain) if len(plain) >= 10 and "," not in whole else cardinal(plain)


def _amount(match: re.Match[str]) -> str | None:
    if match["whole"] is None and match["only"] is None:
        return None
    return say_number(match["whole"] or "", match["part"] or match["only"] or "")


def _is_one(match: re.Match[str]) -> bool:
    return match["whole"] == "1" and not match["part"]


def _spoken_date(month: int, day: str, year_digits: str | None) -> str | None:
    if not (1 <= month <= 12 and 1 <= int(day) <= 31):
        return None
    said = f"{MONTHS[month - 1]} {ordinal(day)}"
    if not year_digits:
        return said
    full = year_digits if len(year_digits) == 4 else ("20" if int(year_digits) < 50 else "19") + year_digits
    return f"{said}, {year(full)}"


def _slashed_date(match: re.Match[str]) -> str | None:
    first, second = match["first"], match["second"]
    if int(first) > 12:
        first, second = second, first
    return _spoken_date(int(first), second, match["year"])


def _month_number(name: str) -> int:
    return MONTHS.index(_MONTH_OF[name[:3].lower()]) + 1


def _day_month(match: re.Match[str]) -> str | None:
    if not 1 <= int(match["day"]) <= 31:
        return None
    said = f"{'' if match['the'] else 'the '}{ordinal(match['day'])} of {_MONTH_OF[match['month'][:3].lower()]}"
    return f"{match['the'] or ''}{said}" + (f", {year(match['year'])}" if match["year"] else "")


def _decade(match: re.Match[str]) -> str:
    century, tens = match["century"], match["tens"]
    said = plural(cardinal(tens + "0")) if tens != "0" else "hundreds"
    if not century:
        return said
    if century == "20" and tens == "0":
        return "two thousands"
    return f"{cardinal(century)} {said}"


def _time(match: re.Match[str]) -> str | None:
    hour, minute, half = int(match["hour"]), int(match["minute"] or 0), match["half"]
    if hour > 24 or minute > 59 or int(match["second"] or 0) > 59 or (half and hour > 12):
        return None
    said = cardinal(str(hour))
    if minute or match["second"]:
        said += f" {'oh ' if 0 < minute < 10 else ''}{cardinal(str(minute)) if minute else 'hundred'}"
    elif not half:
        said += " o'clock" if 1 <= hour <= 12 else " hundred"
    if match["second"]:
        said += f" and {cardinal(str(int(match['second'])))} second" + ("" if int(match["second"]) == 1 else "s")
    return said + (_half_day(half, match) if half else "")


def _half_day(half: str, match: re.Match[str]) -> str:
    """ "a.m." keeps its point only where it ends a sentence."""
    ends = match.group().endswith(".") and ends_sentence(match)
    return (" ay M" if half in "aA" else " P M") + ("." if ends else "")


def _money(match: re.Match[str]) -> str | None:
    amount = _amount(match)
    if amount is None:
        return None
    one, many, small_one, small_many = _CURRENCIES[match["sign"]]
    scale = match["scale"]
    if scale:
        return f"{amount} {_SCALES.get(scale.lower(), scale)} {many}"
    part = match["part"] or match["only"] or ""
    if len(part) != 2 or not small_one:
        return f"{amount} {one if _is_one(match) else many}"
    whole = (match["whole"] or "0").replace(",", "")
    cents = f"{cardinal(str(int(part)))} {small_one if int(part) == 1 else small_many}"
    if int(whole) == 0:
        return cents
    dollars = f"{say_number(match['whole'])} {one if int(whole) == 1 else many}"
    return f"{dollars} and {cents}" if int(part) else dollars


def _unit(match: re.Match[str]) -> str | None:
    amount = _amount(match)
    if amount is None:
        return None
    name = _UNITS[match["unit"]]
    head, per, rest = name.partition(" per ")
    if not _is_one(match) and not head.endswith("hertz"):
        head = head[:-4] + "feet" if head.endswith("foot") else head + "s"
    ends = match.group().endswith(".") and ends_sentence(match)
    return f"{amount} {head}{per}{rest}" + ("." if ends else "")


def _degrees(match: re.Match[str]) -> str | None:
    amount = _amount(match)
    if amount is None:
        return None
    scale = {"C": " Celsius", "F": " Fahrenheit", "K": " Kelvin"}.get(match["scale"] or "", "")
    return f"{amount} degree{'' if _is_one(match) else 's'}{scale}"


def _fraction(match: re.Match[str]) -> str | None:
    top, bottom = int(match["top"]), int(match["bottom"])
    if match.group().strip() in _PLAIN_PAIRS:
        return _PLAIN_PAIRS[match.group().strip()]
    if top == bottom and not match["whole"]:
        return f"{cardinal(match['top'])} {cardinal(match['bottom'])}"
    if bottom < 2 or bottom > 20 or top >= bottom:
        between = "over" if top > bottom else "out of"
        said = f"{cardinal(match['top'])} {between} {cardinal(match['bottom'])}"
        return f"{cardinal(match['whole'])} and {said}" if match["whole"] else said
    name = _DENOMINATORS.get(bottom) or ordinal(str(bottom))
    if top != 1:
        name = "halves" if bottom == 2 else name + "s"
    if match["whole"]:
        return f"{cardinal(match['whole'])} and {'a' if top == 1 else cardinal(match['top'])} {name}"
    return f"{cardinal(match['top'])} {name}"


def _telephone(match: re.Match[str]) -> str:
    groups = [digits(group) for group in re.findall(r"\d+", match.group())]
    return ("plus " if match.group().startswith("+") else "") + ", ".join(groups)


def _dotted(match: re.Match[str]) -> str:
    parts = match.group().split(".")
    return (" dot " if len(parts) == 4 else " point ").join(cardinal(part) for part in parts)


def _plain(match: re.Match[str]) -> str:
    whole = match["whole"]
    after = match.string[match.end() :]
    counted = re.match(r"\s+(?!was\b|is\b|has\b|as\b|its\b|this\b|does\b|versus\b)[a-z]{2,}s\b", after)
    if re.fullmatch(r"1[1-9]\d\d|20\d\d", whole) and not counted:
        return year(whole)
    return say_number(whole)


NUMBER_RULES: tuple[Rule, ...] = (
    (re.compile(r"(?<=\d)T(?=\d\d:\d\d)"), lambda match: " "),
    (
        re.compile(r"\b(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)\b"),
        lambda match: _spoken_date(int(match["month"]), match["day"], match["year"]),
    ),
    (re.compile(rf"{_NOT_GLUED}(?P<first>\d\d?)/(?P<second>\d\d?)/(?P<year>\d{{4}}|\d\d)\b"), _slashed_date),
    (
        re.compile(rf"\b{_MONTH}\s+(?P<day>\d\d?)(?:st|nd|rd|th)?(?!\d|[:.,]\d|\s?[%°/])(?:,?\s+(?P<year>\d{{4}})\b)?"),
        lambda match: _spoken_date(_month_number(match["month"]), match["day"], match["year"]),
    ),
    (
        re.compile(
            rf"(?P<the>\b[Tt]he\s+)?\b(?P<day>\d\d?)(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}})\b)?"
        ),
        _day_month,
    ),
    (re.compile(r"\b(?P<century>1[1-9]|20)(?P<tens>\d)0'?s\b"), _decade),
    (re.compile(r"(?:'(?=\d0s)|\b(?<=the )|(?<=mid-))(?P<century>)(?P<tens>[2-9])0'?s\b"), _decade),
    (
        re.compile(rf"{_NOT_GLUED}(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?![\d:]){_HALF_DAY}?"),
        _time,
    ),
    (re.compile(rf"{_NOT_GLUED}(?P<hour>\d\d?)(?P<minute>)(?P<second>){_HALF_DAY}"), _time),
    (re.compile(rf"(?:US)?(?P<sign>[$€£¥])\s?{_AMOUNT}{_SCALE}"), _money),
    (re.compile(rf"{_NOT_GLUED}{_AMOUNT}\s?¢"), lambda match: (said := _amount(match)) and f"{said} cents"),
    (
        re.compile(r"(?<![\w.])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{3}\)\s?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"),
        _telephone,
    ),
    (re.compile(r"(?<![\w.-])\d{3}-\d{4}(?![\w-])"), _telephone),
    (re.compile(r"\b[vV](?=\d+(?:\.\d+|\b))"), lambda match: "version "),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?![\w])"), _dotted),
    (re.compile(rf"(?<![\w.])(?P<from>{_WHOLE})\s?[–-]\s?(?={_WHOLE}(?!\w*-))"), lambda match: f"{match['from']} to "),
    (re.compile(r"(?<![\w)])[-–](?=[\d.]*\d)"), lambda match: "minus "),
    (re.compile(rf"{_NOT_GLUED}{_AMOUNT}\s?%"), lambda match: (said := _amount(match)) and f"{said} percent"),
    (re.compile(rf"{_NOT_GLUED}{_AMOUNT}\s?°(?:\s?(?P<scale>[CFK])\b)?"), _degrees),
    (
        re.compile(
            rf"{_NOT_GLUED}{_AMOUNT}\s?"
            rf"(?P<unit>{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})(?![\w/'])"
            r"(?:(?<=ft|lb|oz|hr|mi|yd)\.|(?<=lbs|hrs|sec|min|yds)\.|(?<=tsp)\.|(?<=secs|mins|tbsp)\.)?"
        ),
        _unit,
    ),
    (re.compile(r"(?<![\w./])(?:(?P<whole>\d+)\s+)?(?P<top>\d{1,4})/(?P<bottom>\d{1,4})(?![\w/])"), _fraction),
    (re.compile(r"(?<=\d)\s?:\s?(?=\d)"), lambda match: " to "),
    (
        re.compile(rf"\b(?P<place>{_WHOLE})(?:st|nd|rd|th|ST|ND|RD|TH)\b"),
        lambda m: ordinal(m["place"].replace(",", "")),
    ),
    (
        re.compile(r"\b(?P<feet>\d)'\s?(?P<inches>1[01]|\d)\b\"?"),
        lambda match: f"{cardinal(match['feet'])} foot {cardinal(match['inches'])}",
    ),
    (re.compile(r"(?<!\w)#\s?(?=\d)"), lambda match: "number "),
    (re.compile(r"(?<=\d)\s?[x*]\s?(?=\d)"), lambda match: " times "),
    (re.compile(r"(?<=\d)x\b"), lambda match: " times"),
    (re.compile(r"(?<=\d)\s?\+\s?(?=\d)"), lambda match: " plus "),
    (re.compile(r"(?<=\d)\s-\s(?=\d)"), lambda match: " minus "),
    (re.compile(r"(?<=\w)\s?\^\s?(?=\d)"), lambda match: " to the power of "),
    (re.compile(r"(?<=\d)[-–](?=[A-Za-z])|(?<=[A-Za-z])[-–](?=\d)"), lambda match: " "),
    (re.compile(r"(?<=\d)A(?![a-z])|(?<![A-Za-z])A(?=\d)"), lambda match: " ay " if match.start() else "ay "),
    (re.compile(r"(?<=\d)(?=[A-Za-z])(?!s\b|'s\b)|(?<=[A-Za-z])(?=\d)"), lambda match: " "),
    (
        re.compile(rf"(?<![\w.])\.(?P<only>\d+)|(?P<digits>{_WHOLE})\.(?P<part>\d+)"),
        lambda match: say_number(match["digits"] or "", match["part"] or match["only"]),
    ),
    (re.compile(rf"(?P<whole>{_WHOLE})'?s\b"), lambda match: plural(say_number(match["whole"]))),
    (re.compile(rf"(?P<whole>{_WHOLE})"), _plain),
)
