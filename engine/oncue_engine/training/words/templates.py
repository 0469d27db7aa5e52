"""Training sentences from templates: an emotion's word in a frame, two emotions in one line, plain carriers.

They teach what a frame does to a word (a little, but, not); the hand-written sentences in data/ teach the rest.
"""

from __future__ import annotations

import random

from oncue_engine.training.words.labelled import LabelledText, emotion_words
from oncue_engine.words.student import EMOTIONS

__all__ = ["templated_texts"]

_ADJECTIVE_FRAMES = (
    "{w}", "{w}.", "{w}!", "very {w}", "I am {w}.", "I feel {w}.", "She was {w}.", "He sounded {w}.",
    "They looked {w}.", "We were all {w} that day.", "in a {w} voice", "a {w} tone", "Say it in a {w} way.",
    "{w}, like {who}", "with a {w} look", "a {w} mood", "the voice of a {w} man", "You seem {w} today.",
    "Everyone was {w} when {event}.", "{w}, {how}", "It was a {w} thing to say.", "My mother got {w} when {event}.",
    "so {w} that {result}", "a {w} little girl",
)  # fmt: skip
_NOUN_FRAMES = (
    "{w}", "with {w}", "full of {w}", "a voice full of {w}", "{w} in every word", "There was {w} in his eyes.",
    "I felt nothing but {w}.", "Her face showed {w}.", "pure {w}", "the {w} of that evening", "overcome with {w}",
    "{w} rose in him when {event}.", "with {w}, {how}",
)  # fmt: skip
_ACTION_FRAMES = (
    "{w}", "{w}, {how}", "She was {w}.", "They sat there {w}.", "as if {w}", "I found him {w} when {event}.",
    "{w} all night", "He came in {w}.",
)  # fmt: skip
_MIXED_FRAMES = ("{w}, but {v}", "half {w}, half {v}", "{w} and a little {v}", "first {w}, then {v}", "{w}, almost {v}")
_MILD_FRAMES = ("a little {w}", "slightly {w}", "I'm a bit {w}.", "somewhat {w}, not more")
_NOT_FRAMES = ("not {w} at all", "I am not {w}.", "no longer {w}", "She did not seem {w}.")
_WHO = (
    "a teacher;a soldier;an old woman;a pupil at the door;a singer;the captain of a ship;a neighbour;"
    "a guest at a wedding;a shopkeeper;a young mother"
).split(";")
_HOW = (
    "as he opened the letter;close to the microphone;on the telephone;at the kitchen table;facing the camera;"
    "late at night;out in the street;before the whole class;with his hat in his hand"
).split(";")
_EVENT = (
    "the train came in;the results were read out;he heard about it;the guests arrived;the phone rang;they met again;"
    "the lights went on;she saw the pictures;the door opened;we told them"
).split(";")
_RESULT = "I had to sit down;nobody said a word;he forgot his coat;she walked right past us;we all noticed".split(";")
_BUILDERS = ((_ADJECTIVE_FRAMES, "adjectives", 6), (_NOUN_FRAMES, "nouns", 3), (_ACTION_FRAMES, "actions", 1))


def _weights(**shares: float) -> tuple[float, ...]:
    """The shares given, and the rest spread over the others."""
    rest = (1.0 - sum(shares.values())) / (len(EMOTIONS) - len(shares))
    return tuple(shares.get(name, rest) for name in EMOTIONS)


def _fill(frame: str, rng: random.Random, word: str, other: str = "") -> str:
    text = frame.format(
        w=word,
        v=other,
        who=rng.choice(_WHO),
        how=rng.choice(_HOW),
        event=rng.choice(_EVENT),
        result=rng.choice(_RESULT),
    )
    return text[:1].upper() + text[1:] if text[-1] in ".!" else text


def templated_texts(count: int, seed: int) -> list[LabelledText]:
    """`count` sentences drawn with `seed`, the emotions in equal parts; some may repeat."""
    rng = random.Random(seed)
    words = emotion_words()
    made = []
    for i in range(count):
        name = EMOTIONS[i % len(EMOTIONS)]
        kind = rng.random()
        adjective = rng.choice(words[name]["adjectives"])
        if kind < 0.1:
            other = rng.choice([e for e in EMOTIONS if e != name])
            frame = rng.choice(_MIXED_FRAMES)
            text = _fill(frame, rng, adjective, rng.choice(words[other]["adjectives"]))
            made.append(LabelledText(text, _weights(**{name: 0.5, other: 0.42})))
        elif kind < 0.15 and name != "calm":
            text = _fill(rng.choice(_MILD_FRAMES), rng, adjective)
            made.append(LabelledText(text, _weights(**{name: 0.68, "calm": 0.26})))
        elif kind < 0.18 and name != "calm":
            text = _fill(rng.choice(_NOT_FRAMES), rng, adjective)
            made.append(LabelledText(text, _weights(**{"calm": 0.6, name: 0.08})))
        else:
            frames, part, _ = rng.choices(_BUILDERS, weights=[share for *_, share in _BUILDERS])[0]
            made.append(
                LabelledText(_fill(rng.choice(frames), rng, rng.choice(words[name][part])), _weights(**{name: 0.9}))
            )
    return made
