"""The stages in order, each from what the ones before it left on disk. `python -m oncue_engine.training` runs them.

Everything lies under one folder: corpus, features, tokens, styles, and a folder for each trained stage with its state,
its log and its curves. A stage that has reached its steps is passed over, so the same command resumes.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from oncue_engine.checkpoints.layout import EMOTION_BANK_FILE, EMOTION_WORDS_FOLDER
from oncue_engine.model.s2mel import S2Mel
from oncue_engine.model.t2s import T2S
from oncue_engine.training.codec import train_codec
from oncue_engine.training.corpus import CorpusConfig, build_corpus, load_shard
from oncue_engine.training.curves import draw_curves
from oncue_engine.training.emotion_bank import (
    PromptNetworks,
    build_bank,
    choose_actors,
    embed_clip,
    install_bank,
    save_bank,
    waveform,
)
from oncue_engine.training.encoder import semantic_statistics, train_encoder
from oncue_engine.training.features import build_features
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.made_mels import load_made_mels, make_mels, save_made_mels
from oncue_engine.training.package import BUILT_IN_VOICES, natural_pace, write_model, write_voices
from oncue_engine.training.phone_alignment import EncoderScorer
from oncue_engine.training.processes import join
from oncue_engine.training.recordings import build_from_recordings
from oncue_engine.training.s2mel import S2MelTraining, train_s2mel
from oncue_engine.training.sentences import is_held_out
from oncue_engine.training.style import build_style_items, train_style
from oncue_engine.training.t2s import Stage, T2STraining, train_t2s
from oncue_engine.training.tokens import build_tokens, load_tokens
from oncue_engine.training.trained_parts import STYLE_CLIP_SAMPLES, Split, TrainedParts
from oncue_engine.training.vocoder import VocoderTraining, train_vocoder, vocoder_item
from oncue_engine.training.words import STUDENT_FOLDER

__all__ = ["STAGES", "UNTRAINED", "Recipe"]

_VALIDATION_ITEMS = 192
_BANK_SHARDS, _BANK_CLIPS = 8, 96


class Recipe(TrainedParts):
    """The stages; what they leave on disk is read through the base class."""

    def make_corpus(self) -> None:
        settings = self.schedule["corpus"]
        if "recordings" in settings:
            taught = (self._folder("encoder") / "state.pt").exists()
            aligner = EncoderScorer(self.encoder()) if taught else None
            build_from_recordings(Path(settings["recordings"]), self.home / "corpus", self.workers, aligner)
        else:
            build_corpus(CorpusConfig(items=settings["items"]), self.home / "corpus", self.workers)
        build_features(self.home / "corpus", self.home / "features", self.workers)

    def make_encoder(self) -> None:
        split = self._features("encoder")
        config, stride = self.config.semantic_encoder, self.config.speech.feature_stride
        train_encoder(split.train, split.held_out, self._folder("encoder"), self._loop("encoder"), config, stride)
        processes = join("cpu")
        if processes.first:
            mean, var = semantic_statistics(self.encoder()["encoder"], split.train[:400])
            torch.save({"mean": mean, "var": var}, self.home / "nano" / "stats.pt")
        processes.wait()

    def make_codec(self) -> None:
        split = self._features("codec")
        config = replace(self.config.codec, has_decoder=True)
        train_codec(
            self.encoder(),
            self.statistics(),
            split.train,
            split.held_out,
            self._folder("codec"),
            self._loop("codec"),
            config,
        )

    def make_t2s_emotion(self) -> None:
        """The first stage of T2S: the emotion conditioner learns, with everything else."""
        encoder, home = self.encoder()["encoder"], self.home
        with join("cpu").in_turn():
            build_tokens(encoder, self.codec(), self.statistics(), home / "corpus", home / "features", home / "tokens")
        self._train_t2s("t2s_emotion", "emotion", None)

    def make_t2s(self) -> None:
        """The second stage: the emotion conditioner is frozen, the whole corpus is read."""
        self._train_t2s("t2s", "main", self.t2s("t2s_emotion"))

    def _train_t2s(self, name: str, stage: Stage, begin: T2S | None) -> None:
        split = self.t2s_split(name)
        train_t2s(
            split.train, split.held_out[:_VALIDATION_ITEMS], self._folder(name), self._loop(name), self.config.t2s,
            T2STraining(), stage, len(self.speakers), begin,
        )  # fmt: skip

    def make_style(self) -> None:
        index = {speaker.name: i for i, speaker in enumerate(self.speakers)}
        clips = [
            (clip.samples[:STYLE_CLIP_SAMPLES], index[clip.speaker])
            for path in self._shards("corpus")[::4]
            for clip in load_shard(path)
        ]
        train_style(
            build_style_items(clips), len(index), self._folder("style"), self._loop("style"), self.config.style_encoder
        )

    def make_vocoder(self) -> None:
        """On true mels. S2M learns from its pitch predictor."""
        self._train_vocoder("vocoder", with_made_mels=False)

    def make_s2mel(self) -> None:
        split = Split([], [])
        for item, made in zip(*self.mel_items(), strict=True):
            (split.held_out if is_held_out(item.sentence) else split.train).append(made)
        train_s2mel(
            split.train, split.held_out, self.codec(), self._folder("s2mel"), self._loop("s2mel"), self.config.s2mel,
            S2MelTraining(), self.pitch_predictor(),
        )  # fmt: skip

    def make_made_mels(self) -> None:
        """Mels of the trained S2M for training items, in step with their recordings, for the vocoder."""
        s2mel = S2Mel(self.config.s2mel)
        s2mel.load_state_dict(self._state("s2mel", "s2mel."))
        s2mel.eval().requires_grad_(False)
        speech = self.config.speech
        for path in self._shards("tokens", "made_mels"):
            target = self.home / "made_mels" / path.name
            if target.exists():
                continue
            items = self._short_enough(load_tokens(self.home / "features", [path]))
            made = make_mels(s2mel, self.codec(), self._mel_items(items), speech.flow_steps, speech.guidance, seed=0)
            save_made_mels(target, [(items[i].sentence, items[i].speaker) for i in made], list(made.values()))

    def make_vocoder_made(self) -> None:
        """The vocoder goes on, with mels that S2M made among the true ones; its steps go on too."""
        begun = self._folder("vocoder_made") / "state.pt"
        if not begun.exists():
            begun.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder("vocoder") / "state.pt", begun)
        self._train_vocoder("vocoder_made", with_made_mels=True)

    def _train_vocoder(self, name: str, with_made_mels: bool) -> None:
        split, made = Split([], []), []
        made_mels = load_made_mels(self._shards("made_mels") if with_made_mels else [])
        index = {speaker.name: i for i, speaker in enumerate(self.speakers)}
        for path in self._shards("corpus", name):
            for clip in load_shard(path):
                (split.held_out if is_held_out(clip.sentence) else split.train).append(vocoder_item(clip.samples))
                mel = made_mels.get((clip.sentence, index[clip.speaker]))
                if mel is not None and not is_held_out(clip.sentence):
                    made.append(vocoder_item(clip.samples, mel))
        train_vocoder(
            split.train, made, split.held_out, self._folder(name), self._loop(name), self.config.vocoder,
            VocoderTraining(),
        )  # fmt: skip

    def make_bank(self) -> None:
        """Embeddings of acted clips of the training speakers, for emotions by name."""
        config, statistics = self.config, self.statistics()
        encoder = self.encoder()["encoder"]

        def semantic(features: Tensor, mask: Tensor) -> Tensor:
            return statistics.normalise(encoder(features, attention_mask=mask).last_hidden_state)

        networks = PromptNetworks(config, semantic, self.style(), self.t2s())
        settings = self.schedule.get("bank", {})
        paths = self._shards("corpus")[: settings.get("shards", _BANK_SHARDS)]
        clips = [clip for path in paths for clip in load_shard(path) if not is_held_out(clip.sentence)]
        chosen = choose_actors(clips, settings.get("clips_per_emotion", _BANK_CLIPS))
        embedded = [embed_clip(networks, waveform(clip), clip.emotion) for clip in chosen]
        save_bank(build_bank(embedded), self._folder("bank") / EMOTION_BANK_FILE)

    def make_words(self) -> None:
        """The student that turns words into emotions; needs nothing of the other stages."""
        # Only here: peft and transformers take seconds to import.
        from oncue_engine.training.words.stage import WordsSchedule, make_student

        schedule = self.schedule["words"]
        parts = {name: LoopConfig(**schedule[name]) for name in ("language", "tuning")}
        make_student(self._folder("words"), WordsSchedule(**parts))

    def make_package(self) -> None:
        """Write the model folder to `<home>/nano/model`, with recipe, logs and curves of its training."""
        stages = {block: block for block in ("encoder", "codec", "t2s", "s2mel", "style")}
        stages["vocoder"] = self.vocoder_stage
        states = {block: self._state(stage, f"{block}.") for block, stage in stages.items()}
        target = self.home / "nano" / "model"
        pace = natural_pace(self._tokens("package"))
        write_model(target, self.config_path, self.statistics(), states, pace)
        if (bank := self._folder("bank") / EMOTION_BANK_FILE).exists():
            install_bank(bank, target)
        if (student := self._folder("words") / STUDENT_FOLDER).exists():
            shutil.copytree(student, target / EMOTION_WORDS_FOLDER, dirs_exist_ok=True)
        write_voices(target / "voices", BUILT_IN_VOICES)
        record = target / "training"
        record.mkdir(exist_ok=True)
        shutil.copyfile(self.schedule_path, record / "recipe.yaml")
        for stage in stages.values():
            shutil.copyfile(self._folder(stage) / "log.csv", record / f"{stage}.csv")
            draw_curves(record / f"{stage}.csv", record / f"{stage}.png")


STAGES = (
    "corpus",
    "encoder",
    "codec",
    "t2s_emotion",
    "t2s",
    "style",
    "vocoder",
    "s2mel",
    "made_mels",
    "vocoder_made",
    "bank",
    "words",
    "package",
)
UNTRAINED = ("corpus", "made_mels", "bank", "package")
"""Of several processes the first one makes these, and the others wait."""
