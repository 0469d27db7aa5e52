"""Folders of recordings with transcripts: which files there are, and who says what in them.

Two layouts, also side by side in subfolders:

    metadata.csv    `id|text`, or `id|text|normalised text` as LJSpeech has it; or with a header line that names its
                    columns: id (or file), text, speaker, emotion. Audio lies beside it or in its folder `wavs`.
    clip.wav        with clip.txt or clip.lab beside it

The speaker is the column's, or the subfolder's name; a folder without subfolders is one speaker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Recording", "Skipped", "find_recordings"]

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")
_METADATA = "metadata.csv"
_TEXT_SUFFIXES = (".txt", ".lab")
_AUDIO_FOLDER = "wavs"


@dataclass(frozen=True, slots=True)
class Recording:
    path: Path
    text: str
    speaker: str
    emotion: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that does not go into the corpus, and why, in one sentence."""

    path: Path
    reason: str


def find_recordings(folder: Path) -> tuple[list[Recording], list[Skipped]]:
    """All recordings under `folder` in the order of their paths, and what has no sound or no words.

    Raises FileNotFoundError when there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    found: dict[Path, Recording] = {}
    skipped: list[Skipped] = []
    for table in sorted(folder.rglob(_METADATA)):
        for entry in _listed(table, folder):
            if isinstance(entry, Skipped):
                skipped.append(entry)
            elif entry.path in found:
                skipped.append(Skipped(table, f"{entry.path.name} is listed twice; its first line counts"))
            else:
                found[entry.path] = entry
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in AUDIO_SUFFIXES or path in found:
            continue
        beside = next((path.with_suffix(s) for s in _TEXT_SUFFIXES if path.with_suffix(s).exists()), None)
        if beside is None:
            skipped.append(Skipped(path, "it has no transcript: no line in a metadata.csv, no .txt or .lab beside it"))
            continue
        text = _read(beside)
        if isinstance(text, Skipped):
            skipped.append(text)
        else:
            found[path] = Recording(path, text.strip(), _speaker_of(path, folder), "")
    return [found[path] for path in sorted(found)], skipped


def _read(path: Path) -> str | Skipped:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        return Skipped(path, f"it is not UTF-8: byte {error.start}")


def _listed(table: Path, folder: Path) -> Iterator[Recording | Skipped]:
    text = _read(table)
    if isinstance(text, Skipped):
        yield text
        return
    columns: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("|")]
        if number == 1 and "text" in map(str.lower, cells):
            columns = {name.lower(): k for k, name in enumerate(cells)}
            continue
        if not line.strip():
            continue
        if len(cells) < 2:
            yield Skipped(table, f"line {number} has no `|`: {line[:40]!r}")
            continue

        row = {name: cells[k] for name, k in columns.items() if k < len(cells)}
        if not columns:  # the last column that says anything: LJSpeech has the normalised text there
            row = {"id": cells[0], "text": next(filter(None, cells[:0:-1]), "")}
        name, words = row.get("id") or row.get("file", ""), row.get("text", "")
        audio = _audio(table.parent, name)
        if audio is None:
            yield Skipped(table, f"line {number}: there is no audio file for {name!r}")
        else:
            yield Recording(
                audio, words, row.get("speaker") or _speaker_of(audio, folder), row.get("emotion", "").lower()
            )


def _audio(folder: Path, name: str) -> Path | None:
    if not name:
        return None
    for base in (folder / name, folder / _AUDIO_FOLDER / name):
        for path in (base, *(base.with_name(base.name + suffix) for suffix in AUDIO_SUFFIXES)):
            if path.is_file():
                return path
    return None


def _speaker_of(path: Path, folder: Path) -> str:
    """The first subfolder on the way to the file, `wavs` aside; else the folder's own name."""
    parts = [part for part in path.relative_to(folder).parent.parts if part != _AUDIO_FOLDER]
    return parts[0] if parts else folder.resolve().name
