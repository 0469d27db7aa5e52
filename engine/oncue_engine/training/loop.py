"""The training loop that every stage shares: schedule, bf16, log, checkpoints, resume.

A stage gives its modules and a function from a batch to named losses; the total is the entry `loss`. The state lies in
`<folder>/state.pt` and is written every few minutes and at the end, so a stage that is cut off goes on where it was.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

__all__ = ["LoopConfig", "learning_rate", "train"]

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class LoopConfig:
    steps: int
    peak_lr: float
    warmup_steps: int = 200
    final_lr_share: float = 0.05
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    bf16: bool = True
    save_every_s: float = 180.0
    log_every: int = 25
    average: float = 0.0
    """Decay of the moving average of the weights; 0 keeps none."""


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to `final_lr_share` of the peak."""
    if step < config.warmup_steps:
        return config.peak_lr * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    floor = config.final_lr_share
    return config.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def _save(path: Path, state: dict[str, object]) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def train(
    name: str,
    folder: Path,
    modules: nn.ModuleDict,
    batches: Callable[[int], Iterator[Batch]],
    losses: Callable[[Batch, int], dict[str, Tensor]],
    config: LoopConfig,
    validate: Callable[[], dict[str, float]] | None = None,
    validate_every: int = 500,
) -> nn.ModuleDict:
    """Train `modules` up to `config.steps`, resuming from `folder`; returns them (averaged weights if asked for).

    `batches(first_step)` yields from that step on. The log is `<folder>/log.csv`: step, seconds, name, value.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_path = folder / "state.pt"
    parameters = [p for p in modules.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.peak_lr, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    average = {k: v.clone() for k, v in modules.state_dict().items()} if config.average else {}
    step, spent_s = 0, 0.0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent_s, average = state["step"], state["spent_s"], state["average"]
    log_path = folder / "log.csv"
    new_log = not log_path.exists()
    sums: dict[str, float] = {}
    last_save = began = time.monotonic()

    def snapshot() -> None:
        _save(
            state_path,
            {
                "modules": modules.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent_s": spent_s + time.monotonic() - began,
                "average": average,
            },
        )

    with log_path.open("a", newline="") as log_file, tqdm(total=config.steps, initial=step, desc=name) as bar:
        log = csv.writer(log_file)
        if new_log:
            log.writerow(("step", "seconds", "name", "value"))
        modules.train()
        source = batches(step)
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.bf16):
                values = losses(next(source), step)
            optimizer.zero_grad(set_to_none=True)
            values["loss"].backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
            if torch.isfinite(norm):
                optimizer.step()
            if average:
                decay = min(config.average, (1 + step) / (10 + step))
                for key, value in modules.state_dict().items():
                    if value.is_floating_point():
                        average[key].lerp_(value, 1 - decay)
                    else:
                        average[key].copy_(value)
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach())
            step += 1
            bar.update()
            seconds = spent_s + time.monotonic() - began
            if step % config.log_every == 0:
                means = {key: value / config.log_every for key, value in sums.items()}
                sums.clear()
                log.writerows((step, f"{seconds:.1f}", key, f"{value:.5f}") for key, value in means.items())
                bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()})
            if validate is not None and (step % validate_every == 0 or step == config.steps):
                modules.eval()
                with torch.no_grad():
                    found = validate()
                modules.train()
                log.writerows((step, f"{seconds:.1f}", f"valid_{key}", f"{value:.5f}") for key, value in found.items())
                log_file.flush()
                tqdm.write(f"{name} {step}: " + " ".join(f"{key}={value:.4f}" for key, value in found.items()))
            if time.monotonic() - last_save > config.save_every_s:
                snapshot()
                log_file.flush()
                last_save = time.monotonic()
        snapshot()
    if average:
        modules.load_state_dict(average)
    modules.eval()
    return modules
