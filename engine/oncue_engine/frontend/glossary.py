"""`glossary.yaml`: how a model, or a server, says terms in every text (spec 2.2, step 4).

M.2: {en: M dot two, zh: M 二}      a reading for each language
API: A P I                          one for all
GIF: {pronunciation: jh ih f}       how it sounds, as in <word|pronunciation>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from oncue_engine.errors import CheckpointError, InvalidRequest
from oncue_engine.frontend.lexicon import Lexicon
from oncue_engine.frontend.marks import Pronounce
from oncue_engine.requests import LexiconEntry

__all__ = ["glossary_lexicon", "read_glossary"]

_PRONUNCIATION = "pronunciation"


def read_glossary(path: Path) -> tuple[LexiconEntry, ...]:
    """The entries of a glossary file, in order. CheckpointError names the file, and the term and line at fault."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"the glossary {path} cannot be read: {error}", reason="GLOSSARY_INVALID") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise CheckpointError(f"the glossary {path} is no YAML: {error}", reason="GLOSSARY_INVALID") from error
    if root is None:
        return ()
    return tuple(entry for term, node in _pairs(root, path, "the glossary") for entry in _entries(term, node, path))


def glossary_lexicon(path: Path, pronounce: Pronounce, languages: Sequence[str]) -> Lexicon:
    """A glossary file's entries, checked (Lexicon.checked). CheckpointError names the file and what is wrong in it."""
    try:
        return Lexicon.checked(read_glossary(path), pronounce, languages, max_entries=None)
    except InvalidRequest as error:
        raise CheckpointError(f"the glossary {path}: {error}", reason="GLOSSARY_INVALID") from error


def _entries(term: str, node: yaml.Node, path: Path) -> Iterator[LexiconEntry]:
    if isinstance(node, yaml.ScalarNode):
        yield LexiconEntry(term, reading=node.value)
        return
    for key, value in _pairs(node, path, repr(term)):
        if not isinstance(value, yaml.ScalarNode):
            raise _invalid(path, value, f"{term!r}: {key} is no text")
        if key == _PRONUNCIATION:
            yield LexiconEntry(term, pronunciation=value.value)
        else:
            yield LexiconEntry(term, reading=value.value, language=key)


def _pairs(node: yaml.Node, path: Path, what: str) -> Iterator[tuple[str, yaml.Node]]:
    """Keys as they are written ("no" and "1.5" are terms, not values of YAML) and their nodes."""
    if not isinstance(node, yaml.MappingNode):
        raise _invalid(path, node, f"{what} is neither a text nor a mapping")
    seen = set[str]()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _invalid(path, key, f"{what} has a key that is no text")
        if key.value in seen:
            raise _invalid(path, key, f"{what} has {key.value!r} twice")
        seen.add(key.value)
        yield key.value, value


def _invalid(path: Path, node: yaml.Node, why: str) -> CheckpointError:
    return CheckpointError(f"{path}, line {node.start_mark.line + 1}: {why}", reason="GLOSSARY_INVALID")
