"""`python -m oncue_engine.training.bank_command CLIPS --out FOLDER`: an emotion bank from labelled clips of one's own.

CLIPS is a folder with `clips.jsonl`, one `{"file": "a/b.wav", "emotion": "happy"}` to a line; files are found from that
folder. The result is a model folder that speaks as before and takes the emotions that the clips show. `neutral` may be
written for `calm`. With one speaker an emotion has one group of styles; use several, men and women.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from oncue_engine.checkpoints.embedded import embedded_folder
from oncue_engine.checkpoints.layout import EMOTION_WORDS_FOLDER
from oncue_engine.checkpoints.loaded import load_model
from oncue_engine.errors import CheckpointError, ReferenceRejected
from oncue_engine.frontend.audio import decode_reference
from oncue_engine.model.emotion_bank import EMOTION_NAMES
from oncue_engine.training.emotion_bank import (
    ROWS_PER_EMOTION,
    ActedClip,
    PromptNetworks,
    build_bank,
    embed_clip,
    install_bank,
    save_bank,
)

__all__ = ["LABELS_FILE", "BadLabels", "LabelledClip", "main", "read_labels"]

LABELS_FILE = "clips.jsonl"
_ALIASES = {"neutral": "calm"}


class BadLabels(ValueError):
    """The label file is missing or a line of it is wrong; the message says which."""


@dataclass(frozen=True, slots=True)
class LabelledClip:
    path: Path
    emotion: str
    """Of EMOTION_NAMES."""


def read_labels(folder: Path) -> list[LabelledClip]:
    """The lines of `folder/clips.jsonl`. BadLabels names the line that is wrong, or the file that is not there."""
    path = folder / LABELS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadLabels(f"{path} cannot be read: {error}") from error
    clips = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
            file, emotion = str(row["file"]), str(row["emotion"])
        except (ValueError, TypeError, KeyError) as error:
            raise BadLabels(f'{where}: needed is {{"file": ..., "emotion": ...}}') from error
        emotion = _ALIASES.get(emotion, emotion)
        if emotion not in EMOTION_NAMES:
            raise BadLabels(f"{where}: {emotion!r} is none of {', '.join(EMOTION_NAMES)}")
        if not (folder / file).is_file():
            raise BadLabels(f"{where}: there is no {folder / file}")
        clips.append(LabelledClip(folder / file, emotion))
    if not clips:
        raise BadLabels(f"{path} names no clips")
    return clips


def _embed(networks: PromptNetworks, labelled: Sequence[LabelledClip]) -> list[ActedClip]:
    """Every clip that can be used; what cannot is told and passed over."""
    embedded = []
    for clip in tqdm(labelled, desc="clips", unit="clip", disable=None):
        try:
            embedded.append(embed_clip(networks, decode_reference(clip.path), clip.emotion))
        except ReferenceRejected as error:
            print(f"{clip.path}: left out: {error}", file=sys.stderr)
    return embedded


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where a bank was made, 1 where it could not be."""
    parser = argparse.ArgumentParser(prog="python -m oncue_engine.training.bank_command", description=__doc__)
    parser.add_argument("clips", type=Path, metavar="CLIPS", help=f"a folder with {LABELS_FILE}")
    parser.add_argument("--model", type=Path, help="the model folder to begin from; default the embedded model")
    parser.add_argument(
        "--out", type=Path, required=True, help="the model folder to write; must not exist, or be MODEL"
    )
    parser.add_argument("--rows", type=int, default=ROWS_PER_EMOTION, help="most rows for an emotion")
    options = parser.parse_args(arguments)
    if options.rows < 1:
        parser.error("--rows must be at least 1")
    folder = options.model or embedded_folder()
    if options.out.exists() and (options.model is None or options.out.resolve() != folder.resolve()):
        parser.error(f"{options.out} exists")
    try:
        labelled = read_labels(options.clips)
        model = load_model(folder)
    except (BadLabels, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    networks = PromptNetworks(model.config, model.encoder.semantic_features, model.style, model.t2s)
    clips = _embed(networks, labelled)
    if not clips:
        print("error: no clip can be used", file=sys.stderr)
        return 1
    bank = build_bank(clips, options.rows)
    old = bank.counts if model.emotion_bank is None else model.emotion_bank.counts
    lost = [name for name, was, now in zip(EMOTION_NAMES, old, bank.counts, strict=True) if was and not now]
    if lost and (folder / EMOTION_WORDS_FOLDER).exists():
        told = f"{EMOTION_WORDS_FOLDER}: it gives weights to {', '.join(lost)}, which no clip shows"
        if options.out.exists():
            print(f"error: {told}", file=sys.stderr)
            return 1
        print(f"left out: {told}", file=sys.stderr)
    if not options.out.exists():
        shutil.copytree(folder, options.out, ignore=shutil.ignore_patterns(EMOTION_WORDS_FOLDER) if lost else None)
    with tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / "bank.safetensors"
        save_bank(bank, saved)
        rows = install_bank(saved, options.out)
    uses = Counter(clip.emotion for clip in clips)
    for name, count in rows.items():
        print(f"{name}: {count} rows from {uses[name]} clips" if count else f"{name}: the model does not have it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
