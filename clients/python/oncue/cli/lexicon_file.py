"""`--lexicon FILE`: how terms are said, in JSON, of the same form as a server's glossary.

{"SQL": "sequel", "GIF": {"pronunciation": "JH IH1 F"}, "M.2": {"en": "M dot two", "zh": "M 二"}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oncue.lexicon import LexiconArgument, Pronunciation, Reading, Said

__all__ = ["LexiconOption", "read_lexicon"]

_OPTION = "--lexicon"
_PRONUNCIATION = "pronunciation"

LexiconOption = Annotated[
    Path | None,
    typer.Option(_OPTION, metavar="FILE", help='How terms are said, in JSON: {"SQL": "sequel"} (docs/text.md).'),
]


def read_lexicon(path: Path | None) -> LexiconArgument | None:
    """The lexicon in a file, None for none. Raises typer.BadParameter."""
    if path is None:
        return None
    try:
        terms = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_apart)
    except (OSError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint=_OPTION) from error
    if not isinstance(terms, dict):
        raise typer.BadParameter(f'{path} has no terms: needed is {{"SQL": "sequel"}}', param_hint=_OPTION)
    return {term: _said(path, term, value) for term, value in terms.items()}


def _apart(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return found


def _said(path: Path, term: str, value: object) -> Said | list[Said]:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or not value or not all(isinstance(text, str) for text in value.values()):
        raise typer.BadParameter(
            f"{path}: how {term!r} is said is neither a text nor texts by name", param_hint=_OPTION
        )
    return [Pronunciation(text) if name == _PRONUNCIATION else Reading(text, name) for name, text in value.items()]
