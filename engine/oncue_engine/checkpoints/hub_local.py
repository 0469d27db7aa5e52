"""A folder that the hub's own tools downloaded a repository to (`--local-dir`): what they say of its files.

They leave FOLDER/.cache/huggingface/download/PATH.metadata: commit, digest and time of each download, a line each.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError
from .hub_cache import digest_of
from .hub_requests import is_digest

__all__ = ["verify_downloads"]

_RECORDS = Path(".cache") / "huggingface" / "download"
_ENDING = ".metadata"
_CLOCK_S = 1.0
"""A file's time may be that much after its record's, without anyone having written to it."""


def verify_downloads(folder: Path) -> int:
    """Compare every file of `folder` with its download's digest. How many there were to compare.

    A file that was written to since, such as weights that were tuned, is the user's own and is left out, and so is one
    without a record. CheckpointError (HUB_HASH_MISMATCH) names every file that is another.
    """
    wrong, compared = [], 0
    for record in sorted((folder / _RECORDS).rglob(f"*{_ENDING}")):
        file = folder / record.relative_to(folder / _RECORDS).as_posix().removesuffix(_ENDING)
        digest = _recorded(record, file)
        if digest:
            compared += 1
            if digest_of(file, len(digest)) != digest:
                wrong.append(str(file))
    if wrong:
        raise CheckpointError(
            f"not what was downloaded: {', '.join(wrong)}; download them again", reason="HUB_HASH_MISMATCH"
        )
    return compared


def _recorded(record: Path, file: Path) -> str:
    """The digest, or nothing where there is none for the file as it is now."""
    try:
        _, digest, time_s = record.read_text(encoding="utf-8").split()
        unchanged = file.stat().st_mtime - _CLOCK_S <= float(time_s)
    except (OSError, ValueError):
        return ""
    return digest if unchanged and is_digest(digest) else ""
