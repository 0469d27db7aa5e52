"""Where this machine keeps what is made once."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["oncue_home"]


def oncue_home() -> Path:
    """ONCUE_HOME, or `~/.cache/oncue`."""
    return Path(os.environ.get("ONCUE_HOME") or "~/.cache/oncue").expanduser()
