"""The training loop that every stage shares: schedule, bf16, log, checkpoints, resume, several processes.

A stage gives its modules and a function from a batch to named losses; the total is the entry `loss`. The state lies in
`<folder>/state.pt` and is written every few minutes and at the end, so a stage that is cut off goes on where it was.

Under `torchrun` every process takes batches of its own and gradients are averaged (DistributedDataParallel), which is
the same as one process that accumulates as many batches. Batch k of the stage goes to process k modulo their number.
The first process validates and writes log and state.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from oncue_engine.training.processes import Processes, join

__all__ = ["LoopConfig", "learning_rate", "train", "trained_weights"]

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
    accumulate: int = 1
    """Batches whose gradients are averaged for one step."""
    device: str = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU when there is one."""


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


def trained_weights(folder: Path) -> dict[str, Tensor]:
    """What training left in `folder`, on the CPU: the averaged weights where they were kept."""
    state = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
    weights: dict[str, Tensor] = state["average"] or state["modules"]
    return weights


class _Losses(nn.Module, Generic[Batch]):
    """The loss function as a module over what is trained, which is what DistributedDataParallel wraps."""

    def __init__(self, trained: nn.ModuleDict, losses: Callable[[Batch, int], dict[str, Tensor]]) -> None:
        super().__init__()
        self.trained = trained
        self.losses = losses

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {key: v if key == "loss" else v.detach() for key, v in self.losses(batch, step).items()}


class _Gradients(Generic[Batch]):
    """Gradients of one step: of `accumulate` batches of this process, averaged over all processes."""

    def __init__(
        self,
        modules: nn.ModuleDict,
        losses: Callable[[Batch, int], dict[str, Tensor]],
        config: LoopConfig,
        processes: Processes,
    ) -> None:
        self.config, self.device = config, processes.device
        self.call: nn.Module = _Losses(modules, losses)
        if processes.count > 1:
            # Some stages leave parameters unused in some steps.
            self.call = DistributedDataParallel(self.call, find_unused_parameters=True)

    def compute(self, source: Iterator[Batch], step: int) -> dict[str, float]:
        """Add to the parameters' gradients; returns the mean of each named loss over this process's batches."""
        share = self.config.accumulate
        means: dict[str, float] = {}
        for part in range(share):
            apart = isinstance(self.call, DistributedDataParallel) and part < share - 1
            with self.call.no_sync() if apart else nullcontext():
                batch = _placed(next(source), self.device)
                with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
                    values: dict[str, Tensor] = self.call(batch, step)
                (values["loss"] / share if share > 1 else values["loss"]).backward()
            for key, value in values.items():
                means[key] = means.get(key, 0.0) + float(value.detach()) / share
        return means


def _placed(batch: Batch, device: torch.device) -> Batch:
    """A tuple of tensors on the device; what a stage keeps in other forms it places itself."""
    if device.type == "cpu" or not isinstance(batch, tuple):
        return batch
    moved = tuple(part.to(device) if isinstance(part, Tensor) else part for part in batch)
    return moved  # type: ignore[return-value]


def train(
    name: str,
    folder: Path,
    modules: nn.ModuleDict,
    batches: Callable[[int], Iterator[Batch]],
    losses: Callable[[Batch, int], dict[str, Tensor]],
    config: LoopConfig,
    validate: Callable[[], dict[str, float]] | None = None,
    validate_every: int = 500,
    companions: Sequence[nn.Module] = (),
) -> nn.ModuleDict:
    """Train `modules` up to `config.steps`, resuming from `folder`; returns them (averaged weights if asked for).

    `batches(first_batch)` yields from that batch on; a step takes `accumulate` of them for each process. `companions`
    are modules that the losses use but that are not trained here. Both are on the device while this runs, and tensors
    that the losses make without naming a device are made there; afterwards all are back on the CPU.
    The log is `<folder>/log.csv`: step, seconds, name, value.
    """
    processes = join(config.device)
    for module in (modules, *companions):
        module.to(processes.device)
    with nullcontext() if processes.device.type == "cpu" else processes.device:
        _train(name, folder, modules, batches, losses, config, validate, validate_every, processes)
    for module in (modules, *companions):
        module.cpu()
    processes.wait()
    return modules.eval()


def _train(
    name: str,
    folder: Path,
    modules: nn.ModuleDict,
    batches: Callable[[int], Iterator[Batch]],
    losses: Callable[[Batch, int], dict[str, Tensor]],
    config: LoopConfig,
    validate: Callable[[], dict[str, float]] | None,
    validate_every: int,
    processes: Processes,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state_path = folder / "state.pt"
    parameters = [p for p in modules.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.peak_lr, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    average = {k: v.clone() for k, v in modules.state_dict().items()} if config.average else {}
    step, spent_s = 0, 0.0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True, map_location=processes.device)
        modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent_s, average = state["step"], state["spent_s"], state["average"]
    processes.wait()  # the first one may create state and log only after all have looked
    gradients = _Gradients(modules, losses, config, processes)
    if processes.count > 1:
        torch.manual_seed(torch.initial_seed() + processes.rank)  # each has noise of its own
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

    log_path = folder / "log.csv" if processes.first else Path(os.devnull)
    new_log = not log_path.exists()
    with (
        log_path.open("a", newline="") as log_file,
        tqdm(total=config.steps, initial=step, desc=name, disable=not processes.first) as bar,
    ):
        log = csv.writer(log_file)
        if new_log:
            log.writerow(("step", "seconds", "name", "value"))
        modules.train()
        # A step takes `accumulate` batches of every process; this process takes every count-th.
        source = islice(batches(step * config.accumulate * processes.count), processes.rank, None, processes.count)
        while step < config.steps:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            optimizer.zero_grad(set_to_none=True)
            values = gradients.compute(source, step)
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
                sums[key] = sums.get(key, 0.0) + value
            step += 1
            bar.update()
            seconds = spent_s + time.monotonic() - began
            if step % config.log_every == 0:
                means = {key: value / config.log_every for key, value in sums.items()}
                sums.clear()
                log.writerows((step, f"{seconds:.1f}", key, f"{value:.5f}") for key, value in means.items())
                bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()})
            if validate is not None and processes.first and (step % validate_every == 0 or step == config.steps):
                modules.eval()
                with torch.no_grad():
                    found = validate()
                modules.train()
                log.writerows((step, f"{seconds:.1f}", f"valid_{key}", f"{value:.5f}") for key, value in found.items())
                log_file.flush()
                tqdm.write(f"{name} {step}: " + " ".join(f"{key}={value:.4f}" for key, value in found.items()))
            if processes.first and time.monotonic() - last_save > config.save_every_s:
                snapshot()
                log_file.flush()
                last_save = time.monotonic()
        if processes.first:
            snapshot()
    if average:
        modules.load_state_dict(average)
