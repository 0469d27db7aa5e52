"""Sentences to train on: Debian's `bible-kjv-text` and `fortunes`, and everyday sentences from templates.

The recipe's teacher reads them aloud, so that text and speech agree by construction. Sentences of the
evaluation lists are left out, whatever their source.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["everyday_sentences", "harvest_sentences", "is_held_out", "normal_form"]

_FORTUNE_FILES = (
    "computers cookie definitions education food fortunes humorists kids law literature love medicine "
    "men-women miscellaneous people pets platitudes politics science sports wisdom work riddles tao"
).split()
_CLEAN = re.compile(r"^[A-Za-z][A-Za-z' ,;:.?!-]*[.?!]$")
_ABBREVIATION = re.compile(r"\b(?:[A-Z]\.|Mr\.|Mrs\.|Dr\.|St\.|etc\.|vs\.|No\.)|[A-Z]{2,}|\.\.|--")

_NAMES = (
    "Anna Peter Maria James Sarah David Laura Michael Emma Daniel Julia Robert Helen Thomas Alice Kevin Nora "
    "Frank Grace Henry Sophie George Olivia Martin Clara Victor Lucy Samuel Rachel Arthur"
).split()
_PLACES = (
    "the kitchen,the garden,the station,the office,the library,the market,the hospital,the school,"
    "the airport,the beach,the old bridge,the corner shop,London,Chicago,Paris,Berlin,the river,"
    "the second floor,the parking lot,the museum"
).split(",")
_THINGS = (
    "the keys,a letter,the blue umbrella,some fresh bread,the newspaper,a glass of water,the red box,"
    "her phone,his jacket,the last ticket,a cup of coffee,the photographs,a new computer,the broken chair,"
    "two sandwiches,the heavy suitcase,a small present,the garage door,our holiday plans,the wrong address"
).split(",")
_TIMES = (
    "this morning,tonight,tomorrow,on Monday,after lunch,next week,at seven o'clock,in twenty minutes,"
    "before the meeting,last summer,every Friday,at the end of March,in nineteen ninety four,around noon,"
    "two hours ago,on the first of June"
).split(",")
_VERBS = (
    "forgot,found,brought,bought,wanted,lost,opened,carried,painted,cleaned,moved,sold,remembered,checked,"
    "ordered,hid,left,picked up,looked for,put away"
).split(",")
_NUMBERS = (
    "three,seven,eleven,fifteen,twenty two,thirty,forty eight,ninety nine,one hundred,two hundred and fifty,"
    "six thousand,a million,five hundred,sixty four,twelve,eighteen"
).split(",")
_ADJECTIVES = (
    "quiet,strange,wonderful,expensive,difficult,beautiful,empty,cold,ready,late,tired,busy,happy,careful,"
    "funny,slow,dangerous,comfortable,perfect,different"
).split(",")
_TEMPLATES = (
    "{name} {verb} {thing} {time}.",
    "{name} {verb} {thing} near {place} {time}.",
    "Did {name} really go to {place} {time}?",
    "Where did you put {thing}, {name}?",
    "Please bring {thing} to {place} {time}.",
    "The weather near {place} was {adj} and {adj2}.",
    "There were {number} people waiting at {place}.",
    "It costs {number} dollars, and that is too {adj}.",
    "I think {name} and {name2} are {adj} {time}.",
    "Hello, my name is {name}, and I live near {place}.",
    "What a {adj} day it has been!",
    "Can you tell me the way to {place}?",
    "We should meet at {place} {time}, if you are not too {adj}.",
    "{name} said that {thing} would arrive {time}.",
    "Turn left at {place}, then walk for {number} minutes.",
    "I have never seen anything so {adj}!",
    "The train to {place} leaves {time}.",
    "How many of them are there, {number} or {number2}?",
    "She {verb} {thing}, but nobody noticed.",
    "Wait, {name}, do not forget {thing}!",
    "My brother works at {place}, and his job is {adj}.",
    "Yes, of course.",
    "No, thank you, {name}.",
    "Good morning, {name}!",
    "Are you {adj}?",
    "Stop!",
    "I am {adj}.",
)


def normal_form(sentence: str) -> str:
    """Lower-case letters and single blanks: two sentences with one normal form count as the same."""
    return " ".join(re.sub(r"[^a-z' ]", " ", sentence.lower()).split())


def is_held_out(sentence: str) -> bool:
    """True for the 2 % of sentences kept for validation, decided by the text alone."""
    return hashlib.sha256(normal_form(sentence).encode()).digest()[0] < 5


def _clauses(text: str, min_words: int, max_words: int) -> Iterator[str]:
    """Cut running text at sentence ends, and long sentences at semicolons and colons."""
    for sentence in re.split(r"(?<=[.?!])\s+", " ".join(text.split())):
        parts = [sentence]
        if len(sentence.split()) > max_words:
            parts = [part.strip() for part in re.split(r"[;:]", sentence)]
        for part in parts:
            if part and part[-1] not in ".?!":
                part = part.rstrip(",") + "."
            part = part[:1].upper() + part[1:]
            if not _CLEAN.match(part) or _ABBREVIATION.search(part):
                continue
            if min_words <= len(part.split()) <= max_words:
                yield part


def harvest_sentences(min_words: int = 3, max_words: int = 16) -> list[str]:
    """All clean sentences of the two Debian packages, without repeats, in a fixed order.

    Raises FileNotFoundError when a package is not installed (the Makefile's train target installs them).
    """
    verses = subprocess.run(
        ["bible", "-f", "-l", "100000", "gen1:1-rev22:21"], capture_output=True, text=True, check=True
    ).stdout
    texts = [line.split(" ", 1)[1] for line in verses.splitlines() if " " in line]
    folder = Path("/usr/share/games/fortunes")
    for name in _FORTUNE_FILES:
        raw = (folder / name).read_text("utf-8", errors="replace")
        texts.extend(re.split(r"\n\s*--", entry)[0] for entry in raw.split("\n%\n"))
    seen: dict[str, str] = {}
    for text in texts:
        for clause in _clauses(text, min_words, max_words):
            seen.setdefault(normal_form(clause), clause)
    return list(seen.values())


def everyday_sentences(count: int, seed: int) -> list[str]:
    """`count` different everyday sentences with names, places, numbers and questions, drawn with `seed`."""
    rng = random.Random(seed)
    seen: dict[str, str] = {}
    for _ in range(count * 20):
        if len(seen) == count:
            break
        name, name2 = rng.sample(_NAMES, 2)
        number, number2 = rng.sample(_NUMBERS, 2)
        adj, adj2 = rng.sample(_ADJECTIVES, 2)
        sentence = rng.choice(_TEMPLATES).format(
            name=name, name2=name2, number=number, number2=number2, adj=adj, adj2=adj2,
            thing=rng.choice(_THINGS), place=rng.choice(_PLACES), time=rng.choice(_TIMES), verb=rng.choice(_VERBS),
        )  # fmt: skip
        seen.setdefault(normal_form(sentence), sentence)
    return list(seen.values())
