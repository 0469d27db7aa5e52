"""Every network of one model, in memory and ready: the only place that reads weight files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import CheckpointError
from ..frontend.multilingual_text import MultilingualText
from ..frontend.normalize import PublicNormaliser
from ..frontend.phones import VOCABULARY
from ..frontend.sentencepiece_tokenizer import SentencePieceTokenizer
from ..frontend.text import TextFrontend, TextReader
from ..frontend.tiktoken_tokenizer import TiktokenTokenizer
from ..model.bigvgan import BigVGAN
from ..model.campplus import CampPlus
from ..model.codec import SemanticCodec
from ..model.emotion_bank import EmotionBank
from ..model.s2mel import S2Mel
from ..model.t2s import T2S
from ..words.qwen_words import QwenWords
from ..words.student import WordsToEmotion
from ..words.weigher import WordsWeigher
from .config import ModelConfig, read_config
from .converted import converted
from .file_ends import file_ends
from .guessed_pace import guessed_pace
from .home import oncue_home
from .layout import (
    EMOTION_WORDS_FOLDER,
    GLOSSARY_FILE,
    PACE_FILE,
    PUBLIC_WORDS_FOLDER,
    RANKS_FILE,
    SENTENCEPIECE_FILE,
    WEIGHT_FILES,
    fill,
    fingerprint,
    read_emotion_bank,
)
from .networks import empty_networks
from .pace import Pace, read_pace
from .public_files import PublicFiles, find_public_files, is_public_folder
from .semantic_encoder import SemanticEncoder, fill_semantic_encoder

__all__ = ["LoadedModel", "load_model", "load_public"]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """One model: float32, eval mode, no gradients."""

    name: str
    fingerprint: str
    config: ModelConfig
    text: TextReader
    pace: Pace
    encoder: SemanticEncoder
    codec: SemanticCodec
    style: CampPlus
    t2s: T2S
    s2mel: S2Mel
    vocoder: BigVGAN
    emotion_bank: EmotionBank | None
    emotion_words: WordsWeigher | None
    """Words to weights of the bank's emotions, where the model has that."""

    @property
    def parameters(self) -> int:
        """Of the networks that every utterance runs through."""
        networks = (self.t2s, self.s2mel, self.vocoder)
        return sum(parameter.numel() for network in networks for parameter in network.parameters())


def load_model(folder: Path) -> LoadedModel:
    """Read a model folder, ours (layout.py) or a public one. CheckpointError names the file, field or key at fault."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a model folder", reason="CHECKPOINT_FILE_MISSING")
    if is_public_folder(folder):
        return load_public(find_public_files(folder))
    return _load(folder, fingerprint(folder))


def load_public(files: PublicFiles) -> LoadedModel:
    """A public model from its own files, by way of their converted form (converted.py). CheckpointError."""
    own = converted(files, oncue_home())
    digest = hashlib.sha256(own.fingerprint.encode())
    # What is not converted decides too how it sounds.
    words = [] if files.emotion_model is None else sorted(p for p in files.emotion_model.rglob("*") if p.is_file())
    for path in (*words, *([] if files.glossary is None else [files.glossary])):
        digest.update(file_ends(path))
    return _load(own.folder, digest.hexdigest()[:16], files.folder)


def _load(folder: Path, known_fingerprint: str, extras: Path | None = None) -> LoadedModel:
    """`extras`: where glossary and words model are (None: in the same folder)."""
    extras = extras or folder
    config = read_config(folder)
    networks = empty_networks(config)
    for name, network in networks.named().items():
        path = folder / WEIGHT_FILES[name]
        if isinstance(network, SemanticEncoder):
            fill_semantic_encoder(network, path)
        else:
            fill(network, path)
    speech = config.speech
    bank = _emotion_bank(folder, config)
    text = _text_frontend(config, folder, extras / GLOSSARY_FILE)
    return LoadedModel(
        name=speech.name,
        fingerprint=known_fingerprint,
        config=config,
        text=text,
        pace=_pace(folder / PACE_FILE, text, speech.token_rate_hz),
        encoder=networks.encoder,
        codec=networks.codec,
        style=networks.style,
        t2s=networks.t2s,
        s2mel=networks.s2mel,
        vocoder=networks.vocoder,
        emotion_bank=bank,
        emotion_words=_emotion_words(extras, bank),
    )


def _text_frontend(config: ModelConfig, folder: Path, glossary: Path) -> TextReader:
    speech = config.speech
    text: TextReader
    if speech.tokenizer == "arpabet":
        text = TextFrontend.english(speech.max_segment_pieces, max_chars=speech.max_text_chars)
        pieces = len(VOCABULARY)
    elif speech.tokenizer == "sentencepiece":
        tokenizer = SentencePieceTokenizer(folder / SENTENCEPIECE_FILE)
        pieces = tokenizer.vocabulary_size
        text = TextFrontend(
            tokenizer, PublicNormaliser(), speech.max_segment_pieces, speech.max_text_chars, whole_sentences=True
        )
    elif speech.tokenizer == "tiktoken":
        ranks = TiktokenTokenizer(folder / RANKS_FILE)
        pieces = ranks.vocabulary_size
        text = MultilingualText(ranks, speech.max_segment_pieces, speech.max_text_chars)
    else:
        raise CheckpointError(f"oncue.tokenizer {speech.tokenizer!r} is none of arpabet, sentencepiece, tiktoken")
    if pieces > config.t2s.number_text_tokens:
        raise CheckpointError(f"the tokenizer has {pieces} pieces, the T2S {config.t2s.number_text_tokens}")
    return text.with_glossary(glossary) if glossary.is_file() else text


def _pace(path: Path, text: TextReader, token_rate_hz: float) -> Pace:
    tokenizer = text.tokenizer if isinstance(text, TextFrontend | MultilingualText) else None
    if isinstance(tokenizer, TiktokenTokenizer | SentencePieceTokenizer) and not path.exists():
        return guessed_pace(tokenizer, token_rate_hz)
    return read_pace(path, token_rate_hz)


def _emotion_bank(folder: Path, config: ModelConfig) -> EmotionBank | None:
    """feat1 [R,S] styles and feat2 [R,M] emotion vectors (spec 4.1), where the model has them."""
    tensors = read_emotion_bank(folder)
    if tensors is None:
        return None
    counts = config.speech.emotion_counts
    for key, width in (("feat1", config.style_encoder.embedding_size), ("feat2", config.t2s.model_dim)):
        shape, needed = tuple(tensors[key].shape), (sum(counts), width)
        if shape != needed:
            raise CheckpointError(
                f"emotion bank: {key} is {shape}, needed is {needed} (emo_num {list(counts)})",
                reason="CHECKPOINT_KEYS",
            )
        if not bool(torch.isfinite(tensors[key]).all()):
            raise CheckpointError(f"emotion bank: {key} is not finite")
    if sum(counts) == 0:
        raise CheckpointError("emotion bank: emo_num has no rows for it")
    return EmotionBank(styles=tensors["feat1"], emotions=tensors["feat2"], counts=counts)


def _emotion_words(model: Path, bank: EmotionBank | None) -> WordsWeigher | None:
    """What turns words into weights: the student, or the public Qwen, or nothing where `model` has neither.

    CheckpointError where it does not read, or where the bank lacks what it gives.
    """
    folder = next(
        (model / name for name in (EMOTION_WORDS_FOLDER, PUBLIC_WORDS_FOLDER) if (model / name).is_dir()), None
    )
    if folder is None:
        return None
    if bank is None:
        raise CheckpointError(f"{folder.name} is there, but no emotion bank for its weights")
    try:
        words: WordsWeigher
        words = WordsToEmotion.load(folder) if folder.name == EMOTION_WORDS_FOLDER else QwenWords.open(folder)
    except CheckpointError as error:
        raise CheckpointError(f"{folder.name}: {error}", reason=error.reason) from error
    lacking = sorted(set(words.emotions) - set(bank.names))
    if lacking:
        raise CheckpointError(
            f"{folder.name} gives {', '.join(lacking)}, but the emotion bank has {', '.join(bank.names)}"
        )
    return words
