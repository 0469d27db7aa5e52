"""`python -m oncue_engine.training [STAGE...]`: run the stages that are named, or all of them, in order.

On several GPUs, or on several machines: `torchrun --nproc-per-node N -m oncue_engine.training [STAGE...]`. A GPU is
used where there is one (`device: cpu` in a stage of recipe.yaml keeps it on the CPU).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from oncue_engine.training.curves import draw_curves
from oncue_engine.training.processes import join
from oncue_engine.training.recipe import STAGES, UNTRAINED, Recipe

_HERE = Path(__file__).parent


def _own_share_of_cores() -> int:
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncue_engine.training", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; none: all")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("ONCUE_HOME", "~/.cache/oncue")).expanduser())
    parser.add_argument("--model-config", type=Path, default=_HERE / "nano.yaml")
    parser.add_argument("--recipe", type=Path, default=_HERE / "recipe.yaml")
    parser.add_argument("--threads", type=int, default=_own_share_of_cores())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = [stage for stage in options.stages if stage not in STAGES]
    if unknown:
        parser.error(f"no stage is called {', '.join(unknown)}; there are {', '.join(STAGES)}")
    torch.set_num_threads(options.threads)
    recipe = Recipe(options.home, options.threads, options.model_config, options.recipe)
    processes = join("cpu")
    for stage in options.stages or STAGES:
        torch.manual_seed(options.seed)
        if processes.first or stage not in UNTRAINED:
            getattr(recipe, f"make_{stage}")()
        processes.wait()
        log = options.home / "nano" / stage / "log.csv"
        if log.exists() and processes.first:
            draw_curves(log, log.with_name("curves.png"))
    processes.leave()


if __name__ == "__main__":
    main()
