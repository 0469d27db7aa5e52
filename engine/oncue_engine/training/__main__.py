"""`python -m oncue_engine.training [STAGE...]`: run the stages that are named, or all of them, in order."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from oncue_engine.training.curves import draw_curves
from oncue_engine.training.recipe import STAGES, Recipe

_HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncue_engine.training", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)}; none: all")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("ONCUE_HOME", "~/.cache/oncue")).expanduser())
    parser.add_argument("--model-config", type=Path, default=_HERE / "nano.yaml")
    parser.add_argument("--recipe", type=Path, default=_HERE / "recipe.yaml")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = [stage for stage in options.stages if stage not in STAGES]
    if unknown:
        parser.error(f"no stage is called {', '.join(unknown)}; there are {', '.join(STAGES)}")
    torch.set_num_threads(options.threads)
    recipe = Recipe(options.home, options.threads, options.model_config, options.recipe)
    for stage in options.stages or STAGES:
        torch.manual_seed(options.seed)
        getattr(recipe, f"make_{stage}")()
        log = options.home / "nano" / stage / "log.csv"
        if log.exists():
            draw_curves(log, log.with_name("curves.png"))


if __name__ == "__main__":
    main()
