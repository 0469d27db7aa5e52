"""Words that sound otherwise as verbs ("use", "record", "live"): which reading fits between its neighbours.

A few closed lists of neighbouring words decide; whatever they leave open takes the more common reading.
"""

from __future__ import annotations

__all__ = ["reads_as_verb"]

_DETERMINERS = frozenset(
    "a an the this that these those my your his her its our their some any no each every all both one".split()
)
_BEFORE_VERB = frozenset(
    """to i you we they ye thou who will would shall should can could may might must cannot not do did does please
    never always also let's lets often usually sometimes and or help makes make let don't didn't doesn't won't can't
    couldn't wouldn't shouldn't mustn't i'll you'll we'll they'll he'll she'll it'll i'd you'd we'd they'd""".split()
)
_BEFORE_THIRD_PERSON = frozenset("he she it who that which never always also often usually sometimes".split())
_AFTER_VERB = _DETERMINERS | frozenset("me you him us them it to up down out off in on at with for".split())
_BEFORE_NOUN = _DETERMINERS | frozenset(
    "is was are were be been of with without in more very so too as for from by new old first last next single".split()
)
_USUALLY_VERBS = frozenset("live lives use close excuse refuse proceed separate reading putting read".split())
_COORDINATORS = frozenset(("and", "or", "also"))
_PAST_MARKERS = frozenset("have has had having hath was were is are be been i've you've we've they've he's".split())
_PRESENT_MARKERS = _BEFORE_VERB - frozenset("i you we they ye thou who never always also and or".split())


def reads_as_verb(word: str, before: str, after: str) -> bool:
    """Whether a lower-case `word` between `before` and `after` (empty at a clause's edge) is read as a verb.

    For "read" the question is whether it is the present tense.
    """
    if word == "read":
        return before not in _PAST_MARKERS and (before in _PRESENT_MARKERS or not before)
    if word in _USUALLY_VERBS:
        if word == "close":
            return before not in _BEFORE_NOUN and after not in ("to", "by", "friend", "friends", "together", "range")
        return before not in _BEFORE_NOUN
    if before in _COORDINATORS or not before:
        return after in _DETERMINERS or after in ("me", "him", "us", "them", "it")
    if word.endswith("s"):
        return before in _BEFORE_THIRD_PERSON and (not after or after in _AFTER_VERB)
    return before in _BEFORE_VERB
