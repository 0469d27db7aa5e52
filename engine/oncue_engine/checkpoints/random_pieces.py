"""A SentencePiece model in the public model's manner (spec 2.1), trained here: for random models only.

Upper-case English from our own dictionary, pinyin syllables with their tones, and common Chinese characters.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import sentencepiece

from ..frontend.dictionary import Dictionary

__all__ = ["train_pieces"]

# Finals that go with each initial in standard Mandarin, ü written V as the public vocabulary does.
_SYLLABLES = {
    "": "A AI AN ANG AO E EI EN ER O OU",
    "B": "A AI AN ANG AO EI EN ENG I IAN IAO IE IN ING O U",
    "P": "A AI AN ANG AO EI EN ENG I IAN IAO IE IN ING O OU U",
    "M": "A AI AN ANG AO E EI EN ENG I IAN IAO IE IN ING IU O OU U",
    "F": "A AN ANG EI EN ENG O OU U",
    "D": "A AI AN ANG AO E EI ENG I IAN IAO IE ING IU ONG OU U UAN UI UN UO",
    "T": "A AI AN ANG AO E ENG I IAN IAO IE ING ONG OU U UAN UI UN UO",
    "N": "A AI AN ANG AO E EI EN ENG I IAN IANG IAO IE IN ING IU ONG OU U UAN UO V VE",
    "L": "A AI AN ANG AO E EI ENG I IA IAN IANG IAO IE IN ING IU ONG OU U UAN UN UO V VE",
    "G": "A AI AN ANG AO E EI EN ENG ONG OU U UA UAI UAN UANG UI UN UO",
    "K": "A AI AN ANG AO E EN ENG ONG OU U UA UAI UAN UANG UI UN UO",
    "H": "A AI AN ANG AO E EI EN ENG ONG OU U UA UAI UAN UANG UI UN UO",
    "J": "I IA IAN IANG IAO IE IN ING IONG IU V VAN VE VN",
    "Q": "I IA IAN IANG IAO IE IN ING IONG IU V VAN VE VN",
    "X": "I IA IAN IANG IAO IE IN ING IONG IU V VAN VE VN",
    "ZH": "A AI AN ANG AO E EI EN ENG I ONG OU U UA UAI UAN UANG UI UN UO",
    "CH": "A AI AN ANG AO E EN ENG I ONG OU U UA UAI UAN UANG UI UN UO",
    "SH": "A AI AN ANG AO E EI EN ENG I OU U UA UAI UAN UANG UI UN UO",
    "R": "AN ANG AO E EN ENG I ONG OU U UAN UI UN UO",
    "Z": "A AI AN ANG AO E EI EN ENG I ONG OU U UAN UI UN UO",
    "C": "A AI AN ANG AO E EN ENG I ONG OU U UAN UI UN UO",
    "S": "A AI AN ANG AO E EN ENG I ONG OU U UAN UI UN UO",
    "Y": "A AN ANG AO E I IN ING O ONG OU U UAN UE UN",
    "W": "A AI AN ANG EI EN ENG O U",
}
_TONES = "12345"
_EVERYDAY = "你好世界我是的一不在了有人这他她们来到说要就会和大小中国家上下天年今日明早晚安请谢再见对错吗呢吧很多少什么"
_MARKS = ", . ! ? ' - … ; : 0 1 2 3 4 5 6 7 8 9"
_SYLLABLE_WEIGHT = 60
"""How often each syllable is shown for one showing of each English word: enough to become pieces of their own."""
_LINE_WORDS = 50


def train_pieces(pieces: int, *, words: int, characters: int) -> bytes:
    """A model of exactly `pieces` pieces: `<s>` 0, `</s>` 1, unknown 2.

    words: how many of the dictionary's words are shown, spread evenly; characters: how many Chinese characters are
    pieces. Syllables are shown as far as there are characters of theirs, so that a small model stays small.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_lines(words, characters),
        model_writer=model,
        model_type="bpe",
        vocab_size=pieces,
        bos_id=0,
        eos_id=1,
        unk_id=2,
        character_coverage=1.0,
        split_by_number=False,  # a tone belongs to its syllable
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _lines(words: int, characters: int) -> Iterator[str]:
    shown = [word.upper() for word in Dictionary.load().entries if word.isascii()]
    shown = shown[:: max(1, len(shown) // words)][:words]
    for start in range(0, len(shown), _LINE_WORDS):
        yield " ".join(shown[start : start + _LINE_WORDS])
    syllables = [
        f"{initial}{final}{tone}"
        for initial, finals in _SYLLABLES.items()
        for final in finals.split()
        for tone in _TONES
    ]
    for _ in range(_SYLLABLE_WEIGHT):
        for start in range(0, min(len(syllables), characters), _LINE_WORDS):
            yield " ".join(syllables[start : start + _LINE_WORDS])
    # A line may not be long: the trainer leaves such lines out, and says nothing.
    shown = _common_characters()[:characters]
    for start in range(0, len(shown), _LINE_WORDS):
        yield " ".join(shown[start : start + _LINE_WORDS])
    yield _MARKS


def _common_characters() -> list[str]:
    """Characters of most everyday sentences, then all of level 1 of GB 2312: the rows B0 to D7 of its encoding."""
    rows = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    level = [text for code in rows if (text := code.decode("gb2312", errors="ignore"))]
    return list(dict.fromkeys((*_EVERYDAY, *level)))
