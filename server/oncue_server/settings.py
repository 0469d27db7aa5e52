"""How the server is set up: one value, made by the command line or by a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from oncue_engine.options import EngineOptions

__all__ = ["Settings", "default_data_dir"]


def default_data_dir() -> Path:
    """Where voices, emotions and prepared prompts are kept when nobody says otherwise."""
    return Path.home() / ".local" / "share" / "oncue"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one server process."""

    model: str = "nano"
    """`nano`, the embedded model, `hub:ORG/NAME` that was fetched, `random:indextts2`, or a folder."""
    address: str = "127.0.0.1:50051"
    """HOST:PORT or unix:PATH. Port 0 takes a free one."""
    data_dir: Path = field(default_factory=default_data_dir)
    engine: EngineOptions = field(default_factory=EngineOptions)
    """How the engine runs on this machine."""
    glossary: Path | None = None
    """A file of terms and how they are said, for all clients; they go before the model's own."""
    requests_per_second: float = 50.0
    """Calls that one client may make per second before they wait; 0: no limit."""
    max_waiting_per_client: int = 32
    """Calls of one client that may wait for their turn; one more is refused (OVERLOADED)."""
    drain_s: float = 30.0
    """How long running calls may go on after the server was asked to stop."""
    reflection: bool = True
