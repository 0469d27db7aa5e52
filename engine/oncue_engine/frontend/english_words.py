"""Everything without digits that is not read as it is written: addresses, abbreviations, acronyms, symbols.

`ADDRESS_RULES` and `ABBREVIATION_RULES` go before the number rules, `WORD_RULES` after them, `SYMBOL_RULES` last.
Acronyms need to know which words exist: `acronym_rules(dictionary)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from oncue_engine.frontend.dictionary import Dictionary
from oncue_engine.frontend.english_numbers import MONTHS, SENTENCE_STARTERS, Rule, ends_sentence
from oncue_engine.frontend.number_words import cardinal, digits, ordinal

__all__ = ["ABBREVIATION_RULES", "ADDRESS_RULES", "SYMBOL_RULES", "WORD_RULES", "acronym_rules", "spell"]

_ADDRESS_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde",
}  # fmt: skip
_SPELLED_IN_ADDRESSES = frozenset("www http https io uk de ai tv co edu ftp html php".split())
_TOP_DOMAINS = "com|org|net|edu|gov|io|ai|dev|app|info|tv|me|co|uk|de|fr|jp|cn|eu|ca|us|xyz"

_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Gen": "General", "Col": "Colonel",
    "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Rev": "Reverend", "Hon": "Honorable", "Gov": "Governor",
    "Sen": "Senator", "Rep": "Representative", "Pres": "President", "Mt": "Mount", "Ft": "Fort", "Messrs": "Messers",
}  # fmt: skip
_ABBREVIATIONS = {
    "vs": "versus", "etc": "et cetera", "approx": "approximately", "Inc": "Incorporated", "Ltd": "Limited",
    "Co": "Company", "Corp": "Corporation", "dept": "department", "Dept": "Department", "est": "established",
    "misc": "miscellaneous", "govt": "government", "Govt": "Government", "Univ": "University", "Assn": "Association",
    "Bros": "Brothers", "Jr": "Junior", "Sr": "Senior", "Esq": "Esquire", "Ave": "Avenue", "Blvd": "Boulevard",
    "Rd": "Road", "Hwy": "Highway", "Pkwy": "Parkway", "tel": "telephone", "Tel": "Telephone", "incl": "including",
    "excl": "excluding", "max": "maximum", "min": "minimum", "avg": "average", "temp": "temperature",
}  # fmt: skip
_BEFORE_NUMBER = {
    "no": "number", "nos": "numbers", "vol": "volume", "p": "page", "pp": "pages", "fig": "figure", "ch": "chapter",
    "apt": "apartment", "ext": "extension", "sec": "section", "ca": "circa", "lv": "level", "lvl": "level",
}  # fmt: skip
_LATIN = {"e.g.": "for example", "i.e.": "that is", "et al.": "and others", "a.k.a.": "also known as", "Ph.D.": "P H D"}
_DAYS = {name[:3]: name for name in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()}

_ROMAN = {
    "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11, "XII": 12,
    "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18, "XIX": 19, "XX": 20, "XXI": 21,
}  # fmt: skip
_RULERS = (
    "Henry|Louis|George|Elizabeth|Charles|Edward|James|William|Richard|Pius|Paul|Benedict|John|Philip|Napoleon|"
    "Catherine|Frederick|Peter|Alexander|Nicholas|Ivan|Mary|Leo|Gregory|Victoria|Wilhelm|Ramses|Clement|Innocent"
)
_NUMBERED = (
    "[Cc]hapter|[Pp]art|[Aa]ct|[Ss]cene|[Vv]olume|[Bb]ook|[Ss]ection|[Pp]hase|[Tt]ype|[Cc]lass|[Ww]ar|[Tt]itle|"
    "[Ll]evel|[Ee]pisode|[Ss]eason|[Bb]owl|[Mm]ark|[Ff]igure|[Aa]rticle|[Ss]tage|[Tt]ier|[Rr]ank|[Gg]rade"
)

_LABELS = frozenset(
    "plan vitamin grade group type class option section part team hepatitis appendix room level".split()
)

_SPELLED = frozenset(
    """ac ad ai aka api ar atm bbc bc cd ceo cfo cia cnn cpu cto dc diy dj dna dvd eta eu fbi gpu gps hd hp hq hr
    html ibm id ip la led mba mp mvp nba nfl npc ny os pc pdf phd pr pvp rna rpg sos tv ui uk un url us usa usb usd
    ux vip vr xp fps faq fda irs iq icu ira ok""".split()
)  # fmt: skip
_SHOUTED_SHARE = 0.6
_MAX_SPELLED = 5


def spell(letters: str) -> str:
    """Letters apart, each a word the tokenizer reads by name; A is written "ay", or it would be the article."""
    return " ".join("ay" if letter in "aA" else letter.upper() for letter in letters if letter.isalpha())


def _closed(words: str, match: re.Match[str]) -> str:
    """The words of an abbreviation, with its point again where that may also end a sentence."""
    return words + ("." if match.group().endswith(".") and ends_sentence(match) else "")


def _address(match: re.Match[str]) -> str:
    written = match.group()
    rest = written.rstrip(".,;:!?)'\"")
    tail = written[len(rest) :]
    rest = re.sub(r"^https?://", "", rest, flags=re.IGNORECASE).rstrip("/")
    words = []
    for part in re.findall(r"[A-Za-z]+|\d+|[^\w\s]|_", rest):
        if part.isdigit():
            words.append(digits(part) if len(part) > 2 or part.startswith("0") else cardinal(part))
        elif part.lower() in _SPELLED_IN_ADDRESSES or part in "aA":
            words.append(spell(part))
        else:
            words.append(_ADDRESS_SIGNS.get(part, part if part.isalpha() else ""))
    return " ".join(word for word in words if word) + tail


def _street_or(title: str, street: str) -> Callable[[re.Match[str]], str]:
    def choose(match: re.Match[str]) -> str:
        if match["name"] and not match["next"]:
            return match["name"] + _closed(street, match)
        return (match["name"] or "") + title

    return choose


def _initial(match: re.Match[str]) -> str | None:
    """A point after a name's initial goes; one after "plan B" ends a sentence."""
    before = re.search(r"([A-Za-z]+)\W*$", match.string[max(0, match.start() - 30) : match.start()])
    label = before is not None and before[1].lower() in _LABELS
    return None if label or match["next"].lower() in SENTENCE_STARTERS else match["letter"]


def _dotted(match: re.Match[str]) -> str:
    return _closed(spell(match.group()), match)


ADDRESS_RULES: tuple[Rule, ...] = (
    (re.compile(r"[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"), _address),
    (re.compile(r"\b(?:https?://|www\.)[^\s<>\"]+", re.IGNORECASE), _address),
    (re.compile(rf"\b(?:[A-Za-z0-9-]+\.)+(?:{_TOP_DOMAINS})\b(?:/[^\s<>\"]*)?(?![\w@])"), _address),
)

ABBREVIATION_RULES: tuple[Rule, ...] = (
    (
        re.compile("|".join(re.escape(short) for short in _LATIN), re.IGNORECASE),
        lambda match: next(full for short, full in _LATIN.items() if short.lower() == match.group().lower()),
    ),
    (re.compile(rf"\b({'|'.join(_TITLES)})\.(?=\s?[A-Z])|\b(Mr|Mrs|Ms)\b\.?(?!')"), lambda m: _TITLES[m[1] or m[2]]),
    (
        re.compile(r"(?P<name>\b(?!The\b|A\b|And\b|But\b|Then\b)[A-Z][a-z]+\s)?\bDr\b\.?(?=(?P<next>\s+[A-Z][a-z]))?"),
        _street_or("Doctor", "Drive"),
    ),
    (
        re.compile(
            r"(?P<name>\b(?!The\b|A\b|And\b|In\b|Of\b|At\b)[A-Z][a-z]+\s)?\bSt\b\.?(?=(?P<next>\s+[A-Z][a-z]))?"
        ),
        _street_or("Saint", "Street"),
    ),
    (
        re.compile(rf"\b({'|'.join(_BEFORE_NUMBER)})\.?\s?(?=\d)", re.IGNORECASE),
        # "No. 5" needs its point, "no 5" is a word; for the rest either will do.
        lambda match: (
            None
            if match[1].lower() in ("no", "p", "ch", "fig", "sec", "ext", "ca") and "." not in match.group()
            else _BEFORE_NUMBER[match[1].lower()] + " "
        ),
    ),
    (re.compile(rf"\b({'|'.join(_ABBREVIATIONS)})\."), lambda match: _closed(_ABBREVIATIONS[match[1]], match)),
    (re.compile(r"\bvs\b"), lambda match: "versus"),
    (re.compile(r"\b(Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri|Sat|Sun)\.(?=\s*(?:,|\d|[A-Z]))"), lambda m: _DAYS[m[1][:3]]),
    (
        re.compile(r"\b(Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec)\b\.(?=\s)"),
        lambda match: next(month for month in MONTHS if month.startswith(match[1][:3])),
    ),
    (re.compile(r"\b(?:[A-Za-z]\.){2,}(?!\w)"), _dotted),
    (re.compile(r"\b(?P<letter>[A-Z])\.(?=\s*(?P<next>[A-Z](?:[a-z]+|\.)))"), _initial),
)


def _regnal(match: re.Match[str]) -> str:
    return f"{match['name']} the {ordinal(str(_ROMAN[match['roman']]))}"


_ROMAN_PATTERN = "|".join(sorted(_ROMAN, key=len, reverse=True))
WORD_RULES: tuple[Rule, ...] = (
    (re.compile(rf"\b(?P<name>{_RULERS})\s(?P<roman>(?!I\b(?=\s+[a-z])){_ROMAN_PATTERN})\b(?!')"), _regnal),
    (
        re.compile(rf"\b(?P<head>{_NUMBERED})\s(?P<roman>{_ROMAN_PATTERN})\b(?!['-])"),
        lambda match: f"{match['head']} {cardinal(str(_ROMAN[match['roman']]))}",
    ),
    (
        re.compile(r"(?<=[a-z]\s)(?P<roman>III|II|IV|VI|VII|VIII|IX|XI|XII|XIII)\b(?!')"),
        lambda match: cardinal(str(_ROMAN[match["roman"]])),
    ),
    (re.compile(r"(?<=[a-z]\s)A(?=\s*[.,;:!?]|\s*$)|\bA(?=-[a-z])(?!-ha\b)"), lambda match: "ay"),
    (
        re.compile(r"\bIT(?=\s(?:departments?|support|teams?|staff|guys?|managers?|security|services|industry)\b)"),
        lambda match: "I T",
    ),
    (re.compile(r"\b[Aa]nd/or\b"), lambda match: "and or"),
    (re.compile(r"\bw/o\b"), lambda match: "without"),
    (re.compile(r"\bw/(?=\s|\w)"), lambda match: "with "),
    (re.compile(r"'n'"), lambda match: " and "),
)

SYMBOL_RULES: tuple[Rule, ...] = (
    (re.compile(r"\s*&\s*"), lambda match: " and "),
    (re.compile(r"\s*@\s*"), lambda match: " at "),
    (re.compile(r"#(?=\w)"), lambda match: "hashtag "),
    (re.compile(r"\bC\+\+"), lambda match: "C plus plus"),
    (re.compile(r"\bC#"), lambda match: "C sharp"),
    (re.compile(r"\s*\+\s*"), lambda match: " plus "),
    (re.compile(r"\s*[=]\s*"), lambda match: " equals "),
    (re.compile(r"\s*%\s*"), lambda match: " percent "),
    (re.compile(r"\s*°\s*"), lambda match: " degrees "),
    (re.compile(r"(?<=\w)\s?/\s?(?=\w)"), lambda match: " slash "),
    (re.compile(r"\$"), lambda match: " dollar "),
    (re.compile(r"€"), lambda match: " euro "),
    (re.compile(r"£"), lambda match: " pound "),
    (re.compile(r"¥"), lambda match: " yen "),
    (re.compile(r"~(?=\s?(?:\d|[$€£]))"), lambda match: " about "),
    (re.compile(r"(?<=\w)\s<\s(?=\w)"), lambda match: " less than "),
    (re.compile(r"(?<=\w)\s>\s(?=\w)"), lambda match: " greater than "),
)


def acronym_rules(dictionary: Dictionary) -> tuple[Rule, ...]:
    """Rules that split or spell words by their capitals, unless the dictionary has them as words."""

    def spelled(word: str) -> bool:
        lower = word.lower()
        if lower in _SPELLED or not re.search("[aeiouy]", lower):
            return len(word) <= _MAX_SPELLED or lower in _SPELLED
        if lower in dictionary:
            return False
        # Vowels and consonants by turns ("COVID") can be said as a word.
        wordlike = (
            len(word) >= 4
            and not re.search(r"[^aeiouy]{3}|[aeiouy]{3}", lower)
            and re.search("[aeiou].*[aeiouy]", lower)
        )
        return len(word) <= _MAX_SPELLED and not wordlike

    def acronym(match: re.Match[str]) -> str | None:
        word, tail = match["word"], match["tail"] or ""
        if not spelled(word) or (_is_shouted(match.string) and word.lower() in ("us", "la", "ad", "id", "ar")):
            return None
        return spell(word) + ("'s" if tail else "")

    def camel(match: re.Match[str]) -> str | None:
        word = match.group()
        if word.lower() in dictionary:
            return None
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", word)

    return (
        (re.compile(r"\b(?=[A-Za-z]*[a-z][A-Z])[A-Za-z]{3,}\b"), camel),
        (re.compile(r"(?<![\w'])(?P<word>[A-Z]{2,})(?P<tail>'?s)?(?![\w]|'[a-z]{2})"), acronym),
    )


def _is_shouted(text: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    return len(text.split()) > 2 and sum(c.isupper() for c in letters) > _SHOUTED_SHARE * len(letters)
