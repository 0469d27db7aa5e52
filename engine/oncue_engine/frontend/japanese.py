"""Japanese words apart: MeCab with the unidic-lite dictionary, both from the optional extra `oncue[ja]`."""

from __future__ import annotations

import shlex
import threading
from importlib.util import find_spec
from typing import Any

from oncue_engine.errors import Unsupported
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["JapaneseWords", "is_installed"]


def is_installed() -> bool:
    """Whether the extra is there."""
    return all(find_spec(name) is not None for name in ("fugashi", "unidic_lite"))


class JapaneseWords:
    """Thread-safe. The dictionary (250 MB, mapped) is opened by the first text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tagger: Any = None

    def spaced(self, text: TrackedText) -> TrackedText:
        """The words of a text with one blank between each two, whatever was between them.

        Raises Unsupported (LANGUAGE_PACKAGE_MISSING, field `language`) where the extra is not installed.
        """
        with self._lock:  # a tagger keeps the text it is at
            if self._tagger is None:
                self._tagger = _open_tagger()
            surfaces = [node.surface for node in self._tagger(text.text)]
        parts: list[TrackedText] = []
        place = 0
        for surface in surfaces:
            place = text.text.index(surface, place)
            if parts:
                at = text.origin(place, place)
                parts.append(TrackedText(" ", (at[0],), (at[1],)))
            parts.append(text.slice(place, place + len(surface)))
            place += len(surface)
        return TrackedText.joined(parts)


def _open_tagger() -> Any:
    try:
        import fugashi
        import unidic_lite
    except ImportError:
        raise Unsupported(
            "Japanese needs its word splitter: install oncue[ja] beside the server",
            reason="LANGUAGE_PACKAGE_MISSING",
            field="language",
            metadata={"language": "ja", "install": "oncue[ja]"},
        ) from None
    # Named outright: a larger dictionary that is installed too would cut words in other places.
    folder = unidic_lite.DICDIR
    return fugashi.Tagger(f"-d {shlex.quote(folder)} -r {shlex.quote(folder + '/mecabrc')}")
