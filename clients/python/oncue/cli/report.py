"""What commands tell: values on stdout, progress and errors on stderr."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Coroutine, Iterator, Mapping
from datetime import datetime
from typing import Any

import typer
from rich.console import Console

from oncue.errors import SpeechError
from oncue.local_server import ServerStartError

__all__ = ["console", "print_error", "run", "show"]

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""stderr: progress shows only on a terminal."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs a command's work; what went wrong goes to stderr, and the program ends with 1."""
    try:
        asyncio.run(work)
    except SpeechError as error:
        print_error(error)
        raise typer.Exit(1) from None
    except (OSError, ServerStartError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def print_error(error: SpeechError, *, about: str = "") -> None:
    """Code and reason, then field, limits and the server's advice, one to a line."""
    head = " ".join(part for part in (error.code.name, error.reason) if part)
    print(f"{about}: " * bool(about) + f"error: {head}: {error.message}", file=sys.stderr)
    if error.field:
        print(f"  field: {error.field}", file=sys.stderr)
    for key, value in sorted(error.metadata.items()):
        print(f"  {key}: {value}", file=sys.stderr)
    if error.retry_after_s is not None:
        print(f"  retry after: {error.retry_after_s:g} s", file=sys.stderr)


def show(value: object, *, as_json: bool) -> None:
    """Prints a dataclass value, or a list of them, on stdout: as JSON, or one `path: value` to a line."""
    plain = _plain(value)
    if as_json:
        print(json.dumps(plain, ensure_ascii=False))
        return
    for path, leaf in _leaves(plain):
        print(f"{path}: {leaf}")


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _leaves(plain: Any, path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted paths and their values; lists of plain values stay on one line."""
    if isinstance(plain, dict):
        for key, item in plain.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(plain, list) and any(isinstance(item, dict) for item in plain):
        for index, item in enumerate(plain):
            yield from _leaves(item, f"{path}[{index}]")
    elif isinstance(plain, list):
        yield path, ", ".join(str(item) for item in plain)
    else:
        yield path, "" if plain is None else plain
