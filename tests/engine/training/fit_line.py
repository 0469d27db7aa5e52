"""Run by test_processes.py under `torchrun`: fits y = 3 x, and leaves each process's weights in a file of its own.

torchrun --nproc-per-node 2 fit_line.py FOLDER STEPS ACCUMULATE
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.processes import agree, join


def fit(folder: Path, steps: int, accumulate: int) -> nn.ModuleDict:
    """The schedule is made for 20 steps, whatever `steps`; one parameter is used only in every third step."""
    torch.manual_seed(0)
    modules = nn.ModuleDict({"line": nn.Linear(4, 2), "seldom": nn.Linear(2, 1)})

    def batches(first: int) -> Iterator[Tensor]:
        for k in itertools.count(first):
            yield torch.randn(8, 4, generator=torch.Generator().manual_seed(k))

    def losses(x: Tensor, step: int) -> dict[str, Tensor]:
        if step >= steps:
            raise InterruptedError
        y = modules["line"](x)
        loss = (y - 3 * x[:, :2]).square().mean()
        if step % 3 == 0:
            loss = loss + modules["seldom"](y).square().mean()
        return {"loss": loss, "size": y.abs().mean()}

    config = LoopConfig(
        steps=20, peak_lr=0.05, warmup_steps=2, bf16=False, log_every=5, save_every_s=0.0, accumulate=accumulate,
        average=0.9, device="cpu",
    )  # fmt: skip
    try:
        train("line", folder, modules, batches, losses, config, lambda: {"checked": 1.0}, validate_every=10)
    except InterruptedError:
        pass
    return modules


if __name__ == "__main__":
    where, until, parts = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    fitted = fit(where, until, parts)
    processes = join("cpu")
    torch.save(fitted.state_dict(), where / f"weights-{processes.rank}.pt")
    own = torch.full((2,), float(processes.rank + 5))
    agree(own)
    with processes.in_turn(), (where / "order.txt").open("a") as order:
        order.write(f"{processes.rank} {own.tolist()}\n")
    processes.leave()
