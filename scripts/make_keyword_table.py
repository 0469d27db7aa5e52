"""Write the keyword table of the evaluation from the training sentences: the baseline of words as emotion.

Naive Bayes over word stems with the labels' shares as counts; its two constants were chosen on the dev sentences.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path

from oncue_engine.training.words.labelled import DATA_FOLDER, LabelledText, read_labelled
from oncue_engine.training.words.templates import templated_texts
from oncue_engine.words.student import EMOTIONS
from oncue_eval.words_baseline import keyword_emotion, word_stem

TARGET = Path(__file__).parents[1] / "clients/evaluation/oncue_eval/data/words/keywords.json"
TEMPLATED = 4000
SMOOTHING = (0.1, 0.3, 1.0, 3.0)
LEAST_COUNT = (1, 2, 4)


def table_of(items: list[LabelledText], smoothing: float, least_count: int) -> dict[str, dict[str, float]]:
    """Log-odds of each emotion against even shares, for stems that occur in `least_count` sentences and more."""
    counts: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(EMOTIONS))
    seen: dict[str, int] = defaultdict(int)
    for item in items:
        for stem in {word_stem(word) for word in re.findall(r"[a-z']+", item.text.lower())}:
            seen[stem] += 1
            for i, weight in enumerate(item.weights):
                counts[stem][i] += weight
    totals = [sum(item.weights[i] for item in items) for i in range(len(EMOTIONS))]
    table = {"": dict.fromkeys(EMOTIONS, 0.0)}
    for stem, shares in sorted(counts.items()):
        if seen[stem] < least_count:
            continue
        logs = [
            math.log((share + smoothing) / (total + smoothing)) for share, total in zip(shares, totals, strict=True)
        ]
        mean = sum(logs) / len(logs)
        table[stem] = {name: round(value - mean, 2) for name, value in zip(EMOTIONS, logs, strict=True)}
    return table


def main() -> None:
    dev = read_labelled(DATA_FOLDER / "dev.jsonl")
    hand_written = read_labelled(DATA_FOLDER / "train.jsonl")
    best, best_right = {}, -1
    for items in (hand_written, hand_written + templated_texts(TEMPLATED, seed=1)):
        for smoothing in SMOOTHING:
            for least_count in LEAST_COUNT:
                table = table_of(items, smoothing, least_count)
                right = sum(keyword_emotion(item.text, table) == EMOTIONS[item.strongest] for item in dev)
                if right > best_right:
                    best, best_right = table, right
    TARGET.write_text(json.dumps(best, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    print(f"{len(best)} stems, dev {best_right / len(dev):.3f}")


if __name__ == "__main__":
    main()
