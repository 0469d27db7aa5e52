"""`python -m oncue_engine.training.words [--base DIR_OR_HUB_ID] [--labelled FILE...]`: tune a student of your own.

Without a base, the recipe's small one is trained first. The result is a folder `student` that goes into a model's
folder as `emotion_words`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml

from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.words.stage import WordsSchedule, make_student


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncue_engine.training.words", description=__doc__)
    parser.add_argument("folder", type=Path, help="where states, logs and the student go")
    parser.add_argument("--base", help="a Qwen3 to tune: a folder or a hub name; none: our own small one")
    parser.add_argument("--labelled", type=Path, nargs="*", default=[], help="JSONL files beside the seed set")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parent.parent / "recipe.yaml")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    schedule = yaml.safe_load(options.recipe.read_text(encoding="utf-8"))["words"]
    made = make_student(
        options.folder,
        WordsSchedule(LoopConfig(**schedule["language"]), LoopConfig(**schedule["tuning"])),
        options.base,
        options.labelled,
    )
    print(made)


if __name__ == "__main__":
    main()
