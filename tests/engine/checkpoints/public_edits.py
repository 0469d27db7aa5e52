"""How tests change a public file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def rewrite_torch(path: Path, change: Callable[[Any], Any], **how: Any) -> None:
    torch.save(change(torch.load(path, weights_only=True)), path, **how)
