"""The public models: which repositories of the hub they come from, which files of each, and under which licence.

Files and licences are those of spec 0, 9 and 10. A revision here is a commit that others have recorded for these
files; a digest stands here where at least two others have recorded the same one, so that a mirror cannot change it.
All other files are checked against what the hub says of them (hub_listing.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import CheckpointError

__all__ = [
    "HUB_PREFIX",
    "PUBLIC_MODELS",
    "HubFile",
    "HubName",
    "Licence",
    "PublicModel",
    "Repository",
    "parse_hub_name",
]

HUB_PREFIX = "hub:"


@dataclass(frozen=True, slots=True)
class Licence:
    """What one repository's files are used under (spec 10)."""

    key: str
    """Remembered when accepted. Its number goes up when the terms or this summary change, and it is asked again."""
    name: str
    url: str
    summary: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file that the model cannot do without."""

    path: str
    size_bytes: int
    """What to expect; the hub's own figure decides."""
    sha256: str = ""
    """64 hex digits, or empty where only the hub is asked. It holds at the repository's own revision alone."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of the hub: what is taken from it, and at which commit."""

    name: str
    """ORG/NAME."""
    licence: Licence
    files: tuple[HubFile, ...]
    extras: tuple[str, ...] = ()
    """Patterns (fnmatch) of files that are taken too where the repository has them."""
    revision: str = ""
    """A commit, 40 hex digits. Empty: the first fetch takes `main` and writes down what that was (hub_state.py)."""


@dataclass(frozen=True, slots=True)
class PublicModel:
    """A model that `hub:` names: its own repository, and those of its other parts."""

    main: Repository
    companions: tuple[Repository, ...]

    @property
    def repositories(self) -> tuple[Repository, ...]:
        return (self.main, *self.companions)


@dataclass(frozen=True, slots=True)
class HubName:
    """What a `hub:` name says: a model, and revisions that go before the table's."""

    model: PublicModel
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Repository to commit, branch or tag."""

    def __str__(self) -> str:
        main = self.model.main.name
        own = f"@{self.revisions[main]}" if main in self.revisions else ""
        others = "".join(f",{name}@{revision}" for name, revision in self.revisions.items() if name != main)
        return f"{HUB_PREFIX}{main}{own}{others}"


_BILIBILI = Licence(
    "bilibili-model-use/1",
    "bilibili Model Use License Agreement",
    "https://huggingface.co/IndexTeam/IndexTTS-2",
    "free of charge; above 100 million monthly users or 1 billion RMB of revenue a year another licence is needed, and "
    "its authors ask to be told of commercial use; may not be used to improve other AI models, except its own "
    "derivatives or non-commercial ones; derivatives, which include works based on its output, carry its disclaimer; "
    "no high-risk uses, no commercial use of cloned voices without permission; licence and notices are passed on; "
    "Chinese law and the Chinese text prevail",
)
_CC_BY_NC = Licence(
    "cc-by-nc-4.0/1",
    "CC BY-NC 4.0",
    "https://creativecommons.org/licenses/by-nc/4.0/",
    "the semantic codec, which IndexTTS-2 cannot do without: NOT FOR COMMERCIAL USE",
)
_MIT = Licence("mit/1", "MIT", "https://opensource.org/license/mit", "keep the notice")
_APACHE = Licence("apache-2.0/1", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", "keep the notices")

_EMOTION_WORDS = (
    HubFile("qwen0.6bemo4-merge/config.json", 727),
    HubFile(
        "qwen0.6bemo4-merge/model.safetensors",
        1_192_135_096,
        "11293257a8df593c154a8ecd5fc039f3076de35411e35f06d41b471e136f6641",
    ),
    HubFile("qwen0.6bemo4-merge/tokenizer.json", 11_422_654),
)
_EXTRAS = ("qwen0.6bemo4-merge/*", "LICENSE*", "DISCLAIMER*", "README.md", "pinyin.vocab")

_W2V_BERT = Repository(
    "facebook/w2v-bert-2.0",
    _MIT,
    (
        HubFile("config.json", 1_874, "f5572bd5998b68182e9c328a43127ed21fed687f6910497136b91a4e3b0e3675"),
        HubFile("model.safetensors", 2_322_063_736, "eb890c9660ed6e3414b6812e27257b8ce5454365d5490d3ad581ea60b93be043"),
        HubFile("preprocessor_config.json", 275, "8e6281aad64f97e40534135a59dcc5d33571efae376f2a25adf5551951897ab4"),
    ),
    revision="da985ba0987f70aaeb84a80f2851cfac8c697a7b",
)
_SEMANTIC_CODEC = Repository(
    "amphion/MaskGCT",
    _CC_BY_NC,
    (
        HubFile(
            "semantic_codec/model.safetensors",
            177_183_712,
            "ec947271175d8cad75ec37e83aa487e27c97a0f72a303393772da5ffa84bddf2",
        ),
    ),
    revision="265c6cef07625665d0c28d2faafb1415562379dc",
)
_CAMPPLUS = Repository(
    "funasr/campplus",
    _APACHE,
    (
        HubFile(
            "campplus_cn_common.bin", 28_036_335, "3388cf5fd3493c9ac9c69851d8e7a8badcfb4f3dc631020c4961371646d5ada8"
        ),
    ),
    revision="e4b6ede7ce16997aff4ae69fbca1f0175e2afede",
)
_BIGVGAN = Repository(
    "nvidia/bigvgan_v2_22khz_80band_256x",
    _MIT,
    (
        HubFile("config.json", 1_405, "88a1f47acf747db0b21e97a389d838566147f7a5464583ff5c8d819d870f03ee"),
        HubFile(
            "bigvgan_generator.pt", 449_228_171, "e95ba25972d3de0628d99cd156e9315a9c018899bf739988959ebe3544080ced"
        ),
    ),
    revision="633ff708ed5b74903e86ff1298cf4a98e921c513",
)
_INDEXTTS_2 = Repository(
    "IndexTeam/IndexTTS-2",
    _BILIBILI,
    (
        HubFile("config.yaml", 2_882),
        HubFile("gpt.pth", 3_484_663_079, "baaaeb8b56328da81731dc540a85a7dee32eca9da28f174b05757cb651c602a4"),
        HubFile("s2mel.pth", 1_202_198_223, "aae1bb12017cbb47e7a5ce537fc82f40b6b1deb71acdb9b8f25686f32714b636"),
        HubFile("bpe.model", 475_997),
        HubFile("wav2vec2bert_stats.pt", 9_343),
        HubFile("feat1.pt", 57_170),
        HubFile("feat2.pt", 374_866),
        *_EMOTION_WORDS,
    ),
    _EXTRAS,
    "740dcaff396282ffb241903d150ac011cd4b1ede",
)
_INDEXTTS_2_5 = Repository(
    "IndexTeam/IndexTTS-2.5",
    _BILIBILI,
    (
        HubFile("config.yaml", 2_860, "18adf417be3e8f5e2e48e30f7420c719170a6870619436250f360d626877870e"),
        HubFile("gpt.pth", 3_259_599_833, "43a8f4c30eccdf201958d3b9713511482c19d56dc20b0b1c4ee1e6b080b19d85"),
        HubFile("codec.pth", 607_290_935, "d15cbed16a40f478438c961fb043f68dfa6353bf56c966761315db3433e9722c"),
        HubFile("s2mel.pth", 414_908_601, "9b1b0003fc189c94cc349758d7ebc25f903b7eb2de4602879959cc64ce816456"),
        HubFile(
            "multilingual_zh_ja_yue_char_del.tiktoken",
            907_395,
            "747979631e813193436aabcff7c1c235d37de8097b71c563ec8b63b7a515c718",
        ),
        HubFile("wav2vec2bert_stats.pt", 9_343, "c9c176c2b8850ab2e3ba828bbfa969deaf4566ce55db5f2687b8430b87526ad2"),
        HubFile("feat1.pt", 57_170, "f219cb447d80216ba615666da2ff8d63ac544eee26657f3a7b278692bf7a67c4"),
        HubFile("feat2.pt", 374_866, "9c4292e96dee535aea9a6206e9a0c856dd578dde9212acdb16dd3ada4d12bf80"),
        *_EMOTION_WORDS,
    ),
    _EXTRAS,
    "c39ce5ba981572cb187443877ff559dfb246ce63",
)

PUBLIC_MODELS = (
    PublicModel(_INDEXTTS_2, (_W2V_BERT, _SEMANTIC_CODEC, _CAMPPLUS, _BIGVGAN)),
    # Its codec is a file of its own repository.
    PublicModel(_INDEXTTS_2_5, (_W2V_BERT, _CAMPPLUS, _BIGVGAN)),
)


def parse_hub_name(name: str, models: tuple[PublicModel, ...] = PUBLIC_MODELS) -> HubName:
    """`hub:ORG/NAME[@REVISION][,ORG/PART@REVISION]...`.

    CheckpointError: MODEL_UNKNOWN for a model that is not in the table, HUB_NAME_INVALID for a part that the model
    does not have or that has no revision.
    """
    first, *rest = name.removeprefix(HUB_PREFIX).split(",")
    repository, _, revision = first.partition("@")
    for model in models:
        if model.main.name == repository:
            break
    else:
        known = ", ".join(HUB_PREFIX + model.main.name for model in models)
        raise CheckpointError(f"{name} is not known, only {known}", reason="MODEL_UNKNOWN")
    revisions = {repository: revision} if revision else {}
    for part in rest:
        repository, _, revision = part.partition("@")
        if repository not in {other.name for other in model.repositories} or not revision:
            raise CheckpointError(
                f"{part!r} in {name} is not ORG/PART@REVISION of a part of that model: "
                f"{', '.join(other.name for other in model.repositories)}",
                reason="HUB_NAME_INVALID",
            )
        revisions[repository] = revision
    return HubName(model, revisions)
