"""A ranks file in IndexTTS-2.5's manner (frontend/tiktoken_tokenizer.py), made here: for random models only.

The single bytes, every everyday character of Chinese, Japanese and Arabic as one piece, and common English and Spanish
words with a blank before them; each longer piece can be merged from two that are there before it.
"""

from __future__ import annotations

import base64
from itertools import product

__all__ = ["make_ranks"]

_WORDS = (
    "the of and to in is it you that he was for on are with as his they at be this have from or one had by "
    "word but not what all were we when your can said there use an each which she do how their if will up "
    "other about out many then them please window door close open hello world morning evening time people way "
    "water long little very after thing de la que el en los se del las por un para con no una su al lo como "
    "más pero sus le ya este sí porque esta entre cuando muy sin sobre también me hasta hay donde quien desde "
    "todo nos durante uno ni contra ese eso había ante ellos"
)
_CHARACTERS = (
    "你好世界我是的一不在了有人这他她们来到说要就会和大小中国家上下天年今日明早晚安请谢再见对错吗呢吧很多少什么窗关门开"
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをんがぎぐげござじずぜぞ"
    "だぢづでどばびぶべぼぱぴぷぺぽっゃゅょアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリ"
    "ルレロワヲンガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポッャュョー東京行私何時間学生先本語話食見聞読書車電気"
    "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي،؟"
)


def make_ranks(num_ranks: int) -> bytes:
    """The file's bytes: so many ranks, at least 1024; one of them has no bytes.

    Beyond the characters and words there are pairs of any two bytes.
    """
    # As the public file begins: "!" and the double quote are the ids that the T2S has taken for start and stop.
    first = b'!"'
    pieces = dict.fromkeys([*(bytes([byte]) for byte in first), *(bytes([byte]) for byte in range(256))])
    for text in (*_CHARACTERS, *(f" {word}" for word in _WORDS.split())):
        whole = text.encode()
        # Left to right, so that each beginning is a merge of the one before it and a byte.
        pieces |= dict.fromkeys(whole[:length] for length in range(2, len(whole) + 1))
    pairs = (bytes(pair) for pair in product(range(256), repeat=2))
    for pair in pairs:
        if len(pieces) >= num_ranks - 1:
            break
        pieces.setdefault(pair)
    kept = [*list(pieces)[: num_ranks - 1], b""]
    lines = (f"{base64.b64encode(piece).decode() or '='} {rank}\n" for rank, piece in enumerate(kept))
    return "".join(lines).encode()
