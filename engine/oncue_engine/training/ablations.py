"""`make ablations`: what each part of the model is worth, by training it without (paper, tables 2 and 4, appendix B).

All variants of one model have the same data, seed and schedule (ablations.yaml) and begin from nothing; those of S2M
read the codes and latents of the trained codec and T2S. Each run resumes, and a measured one is passed over. The
figures go to `<home>/ablations/record/ablations.jsonl`, one JSON object a line, with the runs' logs beside it:

    table, variant, figure, value        mean over the seeds
    steps, seeds                         of the run
    expected                             `higher` or `lower` than the same figure of `against`, as the paper has it;
                                         null where it says nothing
    agrees                               whether it came out that way
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from oncue_engine.checkpoints.config import read_config
from oncue_engine.checkpoints.layout import WEIGHT_FILES, fill
from oncue_engine.model.bigvgan import BigVGAN
from oncue_engine.training.ablation_s2mel import S2MEL_VARIANTS, S2MelBench, choose_sentences
from oncue_engine.training.ablation_t2s import T2S_VARIANTS, T2SBench
from oncue_engine.training.intelligibility import Listener
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.recipe import Recipe
from oncue_engine.training.s2mel import MelItem
from oncue_engine.training.sentences import everyday_sentences, harvest_sentences, is_held_out
from oncue_engine.training.t2s import order_positions
from oncue_engine.training.text_bert import TextBert, TextBertConfig, train_text_bert, word_rows
from oncue_engine.training.tokens import TokenItem

__all__ = ["EXPECTATIONS", "Ablations", "Expectation", "Row", "Runs", "compare", "merge_rows", "packaged_vocoder"]

_HERE = Path(__file__).parent
_EVERYDAY = 4000


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the paper has: the figure is `direction` (higher or lower) than that of the variant `against`."""

    direction: str
    against: str = "base"


EXPECTATIONS: dict[tuple[str, str], Expectation] = {
    ("without_latents", "wer"): Expectation("higher"),
    ("without_latents", "mel_cepstral_distance_db"): Expectation("higher"),
    # A regression is trained on the very distance, so distances say nothing of how it sounds; words and detail do.
    ("regression", "wer"): Expectation("higher"),
    ("regression", "mel_detail"): Expectation("lower"),
    # Appendix B: text features instead of latents should help against blurred words.
    ("bert", "wer"): Expectation("lower", "without_latents"),
    ("bert", "mel_cepstral_distance_db"): Expectation("lower", "without_latents"),
    ("untied_length", "token_error"): Expectation("higher"),
    ("without_reversal", "speaker_from_emotion"): Expectation("higher"),
}
_TABLE_2B = "speaker_from_emotion"


@dataclass(frozen=True, slots=True)
class Row:
    table: str
    model: str
    variant: str
    figure: str
    value: float
    steps: int
    seeds: int
    expected: str | None
    against: str | None
    agrees: bool | None


def compare(model: str, found: Mapping[str, Sequence[Mapping[str, float]]], steps: int) -> list[Row]:
    """`found`: for each variant the figures of each seed. Rows in that order; equal values agree with nothing."""
    means = {
        variant: {name: sum(run[name] for run in runs) / len(runs) for name in runs[0]}
        for variant, runs in found.items()
    }
    rows = []
    for variant, figures in means.items():
        for name, value in figures.items():
            hope = EXPECTATIONS.get((variant, name))
            agrees = None
            if hope is not None and hope.against in means:
                other = means[hope.against][name]
                agrees = value > other if hope.direction == "higher" else value < other
            rows.append(
                Row(
                    "2b" if name == _TABLE_2B else "4", model, variant, name, round(value, 5), steps,
                    len(found[variant]), hope and hope.direction, hope and hope.against, agrees,
                )
            )  # fmt: skip
    return rows


class Runs:
    """Runs of one model under a folder: each trained once, from inputs that stay the same, and measured once with
    the same instruments.
    """

    def __init__(self, folder: Path, inputs: str, instruments: str = "") -> None:
        self.folder = folder
        self.inputs = inputs
        self.instruments = instruments

    def measure(self, name: str, run: Callable[[Path], dict[str, float]]) -> dict[str, float]:
        """Figures of a run. ValueError if its folder was begun with other inputs."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        mark, result = folder / "inputs.txt", folder / "figures.json"
        if mark.exists() and mark.read_text() != self.inputs:
            raise ValueError(f"{folder} was begun with another schedule or other weights: remove it to begin anew")
        mark.write_text(self.inputs)
        known: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {}
        if known.get("instruments") != self.instruments:
            known = {"instruments": self.instruments, "figures": run(folder)}
            partial = result.with_suffix(".partial")
            partial.write_text(json.dumps(known))
            partial.replace(result)
        found: dict[str, float] = known["figures"]
        return found


class Ablations:
    """All comparisons of one training folder."""

    def __init__(self, recipe: Recipe, plan: Mapping[str, Any], vocoder: Path | None = None) -> None:
        """`vocoder`: a model folder whose vocoder speaks; None: that of the training folder."""
        self.recipe = recipe
        self.plan = plan
        self.vocoder = vocoder
        self.seeds: list[int] = plan["seeds"]
        self.folder = recipe.home / "ablations"

    def s2mel(self, variants: Sequence[str]) -> list[Row]:
        """Rows of the S2M variants, and of `true_mel`: the vocoder on the true mel, the best that any can reach."""
        plan = self.plan["s2mel"]
        self.recipe.schedule["s2mel"] = {**self.recipe.schedule["s2mel"], "shards": plan["shards"]}
        tokens, mels = self.recipe.mel_items()
        settings = {name: replace(S2MEL_VARIANTS[name], frame_budget=plan["frame_budget"]) for name in variants}
        if "bert" in settings:
            bert = self._bert()
            mels = [replace(mel, words=rows) for mel, rows in zip(mels, word_rows(bert, tokens), strict=True)]
            settings["bert"] = replace(settings["bert"], text_width=bert.width)
        train, held_out = _split(tokens, mels)
        vocoder = packaged_vocoder(self.vocoder) if self.vocoder else self.recipe.vocoder()
        listener = Listener()
        names = [item.sentence for item in tokens if is_held_out(item.sentence)]
        sentences, best = choose_sentences(
            list(zip(held_out, names, strict=True)), train, vocoder, listener, plan["sentences"], plan["prompt_codes"]
        )
        bench = S2MelBench(
            train, held_out, self.recipe.codec(), vocoder, self.recipe.config.s2mel, LoopConfig(**plan["loop"]),
            sentences, plan["prompt_codes"],
        )  # fmt: skip
        weights = (
            self.vocoder / WEIGHT_FILES["vocoder"]
            if self.vocoder
            else self.recipe.home / "nano" / "vocoder" / "state.pt"
        )
        inputs = self._inputs(plan, ("codec", "t2s", "style"))
        runs = Runs(self.folder / "s2mel", inputs, hashlib.sha256(weights.read_bytes()).hexdigest())
        found: dict[str, list[dict[str, float]]] = {}
        for name, setting in settings.items():
            found[name] = [
                runs.measure(f"{name}-{seed}", lambda folder, s=setting, k=seed: bench.run(s, folder, k))  # type: ignore[misc]
                for seed in self.seeds
            ]
        ceiling = Row("4", "s2mel", "true_mel", "wer", round(best, 5), 0, 1, None, None, None)
        return [ceiling, *compare("s2mel", found, plan["loop"]["steps"])]

    def t2s(self, variants: Sequence[str]) -> list[Row]:
        """Rows of the T2S variants."""
        plan = self.plan["t2s"]
        self.recipe.schedule["t2s_emotion"] = {**self.recipe.schedule["t2s_emotion"], "shards": plan["shards"]}
        split = self.recipe.t2s_split("t2s_emotion")
        begin = self.recipe.t2s() if plan["begin"] == "trained" else None
        if begin:
            order_positions(begin)  # new tables for positions and lengths: every variant learns them again
        bench = T2SBench(
            split.train, split.held_out, self.recipe.config.t2s, LoopConfig(**plan["loop"]), plan["budget"],
            len(self.recipe.speakers), plan["sentences"], plan["probe_clips"],
            begin,
        )  # fmt: skip
        runs = Runs(self.folder / "t2s", self._inputs(plan, ("codec", "t2s") if begin else ("codec",)))
        found: dict[str, list[dict[str, float]]] = {}
        for name in variants:
            found[name] = [
                runs.measure(f"{name}-{seed}", lambda folder, n=name, k=seed: bench.run(T2S_VARIANTS[n], folder, k))  # type: ignore[misc]
                for seed in self.seeds
            ]
        chance = Row("2b", "t2s", "chance", _TABLE_2B, round(1 / bench.speakers, 5), 0, 1, None, None, None)
        return [chance, *compare("t2s", found, plan["loop"]["steps"])]

    def _bert(self) -> TextBert:
        plan = self.plan["text_bert"]
        if plan["public"]:
            return TextBert.load(plan["public"])
        texts = harvest_sentences() + everyday_sentences(_EVERYDAY, 1)
        held_out = [text for text in texts if is_held_out(text)]
        seen = [text for text in texts if not is_held_out(text)]
        torch.manual_seed(0)
        return train_text_bert(seen, held_out, self.folder / "text_bert", LoopConfig(**plan["loop"]), TextBertConfig())

    def _inputs(self, plan: Mapping[str, Any], stages: Sequence[str]) -> str:
        """The schedule, and a hash of the weights that the runs are trained with."""
        weights = hashlib.sha256()
        for stage in stages:
            weights.update((self.recipe.home / "nano" / stage / "state.pt").read_bytes())
        return json.dumps(plan, sort_keys=True) + "\n" + weights.hexdigest()

    def record(self, rows: Sequence[Row]) -> Path:
        """Write figures and logs; rows of earlier calls stay unless they are measured anew. Returns the folder."""
        target = self.folder / "record"
        target.mkdir(parents=True, exist_ok=True)
        path = target / "ablations.jsonl"
        merged = merge_rows(list(_read(path)), rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in merged), encoding="utf-8")
        for log in sorted(self.folder.glob("*/*/log.csv")):
            shutil.copyfile(log, target / f"ablation-{log.parent.parent.name}-{log.parent.name}.csv")
        return target


def packaged_vocoder(folder: Path) -> BigVGAN:
    """The vocoder of a model folder, such as the embedded one. Raises CheckpointError for a damaged folder."""
    vocoder = BigVGAN(read_config(folder).vocoder)
    fill(vocoder, folder / WEIGHT_FILES["vocoder"])
    return vocoder.eval().requires_grad_(False)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def merge_rows(earlier: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    """Rows as they are written; those of earlier calls stay unless they are measured anew."""
    merged: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in (*earlier, *map(asdict, rows)):
        merged[row["model"], row["variant"], row["figure"]] = row
    return list(merged.values())


def _split(tokens: Sequence[TokenItem], mels: Sequence[MelItem]) -> tuple[list[MelItem], list[MelItem]]:
    train, held_out = [], []
    for token, mel in zip(tokens, mels, strict=True):
        (held_out if is_held_out(token.sentence) else train).append(mel)
    return train, held_out


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'model':6} {'variant':17} {'figure':25} {'value':>9}  expected"]
    for row in rows:
        came = {True: "yes", False: "NO", None: "not run"}[row.agrees]
        hope = f"{row.expected} than {row.against}: {came}" if row.expected else ""
        lines.append(f"{row.model:6} {row.variant:17} {row.figure:25} {row.value:9.4f}  {hope}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncue_engine.training.ablations", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="s2mel, t2s; none: both")
    parser.add_argument("--variants", help="comma-separated; none: all")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("ONCUE_HOME", "~/.cache/oncue")).expanduser())
    parser.add_argument("--model-config", type=Path, default=_HERE / "nano.yaml")
    parser.add_argument("--recipe", type=Path, default=_HERE / "recipe.yaml")
    parser.add_argument("--plan", type=Path, default=_HERE / "ablations.yaml")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--vocoder", type=Path, metavar="MODEL", help="a model folder whose vocoder speaks")
    parser.add_argument("--copy", type=Path, metavar="FOLDER", help="also copy figures and logs there")
    options = parser.parse_args()
    known = {"s2mel": list(S2MEL_VARIANTS), "t2s": list(T2S_VARIANTS)}
    if unknown := [model for model in options.models if model not in known]:
        parser.error(f"no comparison is called {', '.join(unknown)}; there are {', '.join(known)}")
    torch.set_num_threads(options.threads)
    recipe = Recipe(options.home, options.threads, options.model_config, options.recipe)
    ablations = Ablations(recipe, yaml.safe_load(options.plan.read_text(encoding="utf-8")), options.vocoder)
    for model in options.models or known:
        wanted = options.variants.split(",") if options.variants else known[model]
        rows = getattr(ablations, model)([name for name in known[model] if name in wanted])
        target = ablations.record(rows)
        print(_table(rows))
        print(f"figures and logs are in {target}")
        if options.copy:
            shutil.copytree(target, options.copy, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
