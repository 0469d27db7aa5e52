"""Writes the pronouncing data of the embedded model: `frontend/data/lexicon.xz` and `letters.xz`.

    python -m oncue_engine.training.letters [--words FILE]... [--output FOLDER] [--sentences FILE]

Words are those of CMUdict (the copy in the pocketsphinx wheel) and of any further plain-text files; pronunciations are
what flite says, since its voices are the teachers, but CMUdict's where flite is far off (its letter rules on "fbi" or
"tarot"). The letter-to-sound model is then learnt from the dictionary, and
its accuracy on held-out words is printed. With `--sentences`, a file of one sentence per line, the share of phones on
which this front end and flite disagree in running text is printed too.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from oncue_engine.frontend import letters_to_sounds
from oncue_engine.frontend.arpabet import MARKS, ArpabetTokenizer
from oncue_engine.frontend.dictionary import LEXICON_FILE, pack_entries, pack_phones, unpack_phones
from oncue_engine.frontend.letters_to_sounds import FIRST_UNIT, MODEL_FILE, WORD_BEGIN, WORD_END
from oncue_engine.frontend.phones import VOWELS
from oncue_engine.frontend.pronounce import spell_out
from oncue_engine.training.flite_lexicon import FliteLexicon, spoken_phones
from oncue_engine.training.letter_alignment import Unit, align, learn_units
from oncue_engine.training.letter_ngrams import estimate

__all__ = ["build_lexicon", "main", "phone_distance", "train_letters"]

Word = tuple[str, tuple[str, ...]]

CORRECTIONS = {
    "does": "d ah z", "lead": "l iy d", "leads": "l iy d z", "a": "ax", "to": "t ax", "read": "r eh d|r iy d",
    "close": "k l ow s|k l ow z", "closes": "k l ow z ih z", "kinda": "k ay n d ax", "goin": "g ow ih n",
    "hmm": "hh ah m", "hmmm": "hh ah m", "mmm": "m", "mhm": "m hh m", "psst": "p s t", "pfft": "p f t", "brr": "b er",
    "grr": "g er", "tsk": "t ih s k", "haha": "hh aa hh aa", "hahaha": "hh aa hh aa hh aa", "aww": "ao",
    "omg": "ow eh m jh iy", "rpg": "aa r p iy jh iy", "asap": "ey eh s ey p iy", "json": "jh ey s aa n",
    "jpeg": "jh ey p eh g", "covid": "k ow v ih d", "tiktok": "t ih k t aa k", "pokemon": "p ow k ax m aa n",
    "blockchain": "b l aa k ch ey n", "javascript": "jh aa v ax s k r ih p t", "meme": "m iy m", "memes": "m iy m z",
    "mage": "m ey jh", "mages": "m ey jh ih z", "paladin": "p ae l ax d ih n", "emoji": "ih m ow jh iy",
}  # fmt: skip
"""Where flite, asked for a lone word, is wrong or says it otherwise than in running text, and new words."""

ORDER = 6
MIN_GAIN = 3.0
"""Nats of training likelihood an n-gram must bring to be kept; at 2 the file is half as large again."""
_ALIGN_WORDS = 15_000
_ALIGN_ROUNDS = 5
_MIN_UNIT_COUNT = 4
_FAR_OFF = 0.35
_SHORTENED_IS = frozenset("it he she that this what who where there here how when why let one".split())
"""After these, 's stands for "is" or "us" and is asked for; elsewhere it is a possessive and follows by rule."""
_MIN_LETTER_SCORE = -3.0
"""Average log score per letter below which an alignment is an abbreviation or a mistake."""
_HELD_OUT = 4_000


def read_cmudict() -> dict[str, list[tuple[str, ...]]]:
    """Words and their pronunciations in the CMUdict copy of the installed pocketsphinx wheel (no stress, no schwa)."""
    import pocketsphinx  # type: ignore[import-untyped]

    path = Path(pocketsphinx.__file__).parent / "model" / "en-us" / "cmudict-en-us.dict"
    listed: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        head, *phones = line.lower().split()
        word = re.sub(r"\(\d+\)$", "", head)
        if _is_plain(word):
            listed[word].append(tuple(phones))
    return dict(listed)


def _is_plain(word: str) -> bool:
    return re.fullmatch(r"[a-z]+(?:'[a-z]+)*", word) is not None


def build_lexicon(
    cmudict: Mapping[str, list[tuple[str, ...]]], more_words: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Packed pronunciations: one, or two when the verb differs. Possessives that follow by rule are left out."""
    flite = FliteLexicon()
    entries: dict[str, tuple[str, ...]] = {}
    words = set(cmudict).union(more_words)
    for word in sorted(words):
        if "'" in word:
            if not word.endswith("'s") or word[:-2] not in words or word[:-2] in _SHORTENED_IS:
                entries[word] = (pack_phones(spoken_phones(word)),)
            continue
        noun, verb = flite.phones(word, "n"), flite.phones(word, "v")
        if not noun or _far_off((noun, verb), cmudict.get(word, [])):
            noun = verb = _with_schwa(cmudict[word][0]) if word in cmudict else ()
        if noun:
            entries[word] = (pack_phones(noun),) if verb in (noun, ()) else (pack_phones(noun), pack_phones(verb))
    for word, phones in CORRECTIONS.items():
        entries[word] = tuple(pack_phones(reading.split()) for reading in phones.split("|"))
    return entries


def _far_off(said: Iterable[tuple[str, ...]], listed: Sequence[tuple[str, ...]]) -> bool:
    """Whether two phones and a third of the word or more differ from every listed pronunciation."""
    if not listed:
        return False
    plain = [tuple("ah" if phone == "ax" else phone for phone in phones) for phones in said]
    distance, length = min((phone_distance(phones, other), len(phones)) for phones in plain for other in listed)
    return distance >= 2 and distance > _FAR_OFF * length


def _with_schwa(phones: tuple[str, ...]) -> tuple[str, ...]:
    """CMUdict's AH as `ax`, unless it is the word's only vowel and so stressed."""
    if sum(phone in VOWELS for phone in phones) == 1:
        return phones
    return tuple("ax" if phone == "ah" else phone for phone in phones)


def train_letters(words: Sequence[Word], held_out: int = _HELD_OUT, seed: int = 3) -> tuple[bytes, dict[str, float]]:
    """The packed letter-to-sound model, and its accuracy on `held_out` words when trained without them."""
    pairs = [pair for pair in words if len(pair[0]) > 1 and "'" not in pair[0] and pair[1] != spell_out(pair[0])]
    random.Random(seed).shuffle(pairs)
    scores = learn_units(pairs[:_ALIGN_WORDS], rounds=_ALIGN_ROUNDS)
    aligned: list[tuple[Word, list[Unit]]] = []
    for word, phones in pairs:
        found = align(word, phones, scores)
        if found is not None and found[1] / len(word) > _MIN_LETTER_SCORE:
            aligned.append(((word, phones), found[0]))
    model = letters_to_sounds.unpack_model(_fit([units for _, units in aligned[held_out:]]))
    wrong = total = exact = 0
    for (word, phones), _ in aligned[:held_out]:
        distance = phone_distance(model.phones(word), phones)
        wrong, total, exact = wrong + distance, total + len(phones), exact + (distance == 0)
    figures = {"phone_accuracy": 1 - wrong / total, "word_accuracy": exact / held_out, "held_out_words": held_out}
    return _fit([units for _, units in aligned]), figures


def _fit(words: Sequence[Sequence[Unit]]) -> bytes:
    counts = Counter(unit for units in words for unit in units)
    inventory = sorted(unit for unit, count in counts.items() if count >= _MIN_UNIT_COUNT)
    ids = {unit: index + FIRST_UNIT for index, unit in enumerate(inventory)}
    sequences = [
        (WORD_BEGIN, *(ids[unit] for unit in units), WORD_END) for units in words if all(unit in ids for unit in units)
    ]
    ngrams = estimate(sequences, order=ORDER, units=len(inventory) + 1, min_gain=MIN_GAIN)
    return letters_to_sounds.pack_model(inventory, ngrams)


def phone_distance(said: Sequence[str], wanted: Sequence[str]) -> int:
    """Edits (replace, insert, delete) between two phone strings."""
    row = list(range(len(wanted) + 1))
    for i, a in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(wanted, 1):
            diagonal, row[j] = row[j], min(diagonal + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def disagreement(sentences: Iterable[str]) -> dict[str, float]:
    """Share of flite's phones in running text that this front end says otherwise."""
    tokenizer = ArpabetTokenizer()
    wrong = total = 0
    for sentence in sentences:
        said = [piece.text for piece in tokenizer.encode(sentence) if piece.text not in MARKS]
        wanted = spoken_phones(sentence)
        wrong, total = wrong + phone_distance(said, wanted), total + len(wanted)
    return {"phone_disagreement": wrong / max(1, total), "phones": total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=Path, action="append", default=[], help="plain text whose words are added")
    parser.add_argument("--output", type=Path, default=Path(letters_to_sounds.__file__).parent / "data")
    parser.add_argument("--sentences", type=Path, help="compare with flite on these, write nothing")
    arguments = parser.parse_args()
    if arguments.sentences is not None:
        print(json.dumps(disagreement(arguments.sentences.read_text(encoding="utf-8").splitlines())))
        return
    more: set[str] = set()
    for path in arguments.words:
        more.update(re.findall(r"[a-z]+", path.read_text(encoding="utf-8", errors="replace").lower()))
    entries = build_lexicon(read_cmudict(), more)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / LEXICON_FILE).write_bytes(pack_entries(entries))
    model, figures = train_letters([(word, unpack_phones(packed[0])) for word, packed in entries.items()])
    (arguments.output / MODEL_FILE).write_bytes(model)
    print(json.dumps({"words": len(entries), **figures}))


if __name__ == "__main__":
    main()
