"""Golden sets of the acoustic half: the semantic codec, and semantic codes to mel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from oncue_engine.errors import CheckpointError
from oncue_engine.model.codec import CodecConfig, SemanticCodec
from oncue_engine.model.flow import solve
from oncue_engine.model.s2mel import S2Mel, S2MelConfig
from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.golden_file import GoldenFile

__all__ = ["SETS", "load_codec", "load_s2mel"]

_S2MEL_PREFIX = "models."
_GUIDANCE = 0.7


def load_codec(golden: GoldenFile) -> SemanticCodec:
    """The codec of a `semantic_codec` file, in the dtype of its weights. CheckpointError if the weights do not fit."""
    codec = SemanticCodec(CodecConfig.from_public(golden.config))
    _load(codec, golden, fold(golden.weights))
    return codec


def load_s2mel(golden: GoldenFile) -> S2Mel:
    """The networks of an `s2mel` file, in the dtype of its weights. CheckpointError if the weights do not fit."""
    weights = fold({key.removeprefix(_S2MEL_PREFIX): value for key, value in golden.weights.items()})
    config = dict(golden.config)
    # The public config has no field for these widths; a file that says nothing shows them in its shapes.
    config.setdefault("gpt_layer_widths", _gpt_layer_widths(golden, weights))
    model = S2Mel(S2MelConfig.from_public(config))
    _load(model, golden, weights)
    return model


def _gpt_layer_widths(golden: GoldenFile, weights: Mapping[str, Tensor]) -> list[int]:
    layers = [weights[key] for key in (f"gpt_layer.{index}.weight" for index in range(3)) if key in weights]
    if len(layers) != 3:
        raise CheckpointError(f"{golden.path}: gpt_layer needs three layers")
    return [layers[0].shape[1], *(layer.shape[0] for layer in layers)]


def _load(module: nn.Module, golden: GoldenFile, weights: Mapping[str, Tensor]) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{golden.path}: {error}") from error
    dtype = next(value.dtype for value in weights.values() if value.is_floating_point())
    module.eval().to(dtype)


@torch.no_grad()
def _semantic_codec(golden: GoldenFile) -> dict[str, Tensor]:
    codec = load_codec(golden)
    inputs = golden.inputs
    encoded = codec.encode(inputs["feat"])
    ids, emb = codec.quantize(inputs["feat"])
    ids_batch2, emb_batch2 = codec.quantize(inputs["feat_batch2"])
    return {
        "encoder": encoded,
        "in_project": codec.project(encoded).transpose(1, 2),
        "ids": ids,
        "emb": emb,
        "ids_batch2": ids_batch2,
        "emb_batch2": emb_batch2,
        "vq2emb": codec.embed(inputs["codes"]),
        "decoder": codec.decode(emb),
    }


@torch.no_grad()
def _s2mel(golden: GoldenFile) -> dict[str, Tensor]:
    model = load_s2mel(golden)
    inputs = golden.inputs
    num_prompt, num_target = inputs["prompt_mel"].shape[2], int(inputs["target_lengths"])
    semantic = model.semantic(inputs["gpt_latent"], inputs["semantic_emb"])
    target = model.length_regulator(semantic, num_target)
    prompt = model.length_regulator(inputs["ref_semantic_emb"], num_prompt)
    mu, style, noise = torch.cat([prompt, target], dim=1), inputs["style"], inputs["noise"]
    out = {
        "gpt_layer": model.gpt_layer(inputs["gpt_latent"]),
        "cond_target": target,
        "cond_prompt": prompt,
        "cond_cat": mu,
    }

    def solved(steps: int, guidance: float) -> Tensor:
        return solve(model.estimator, noise, inputs["prompt_mel"], mu, style, steps, guidance)

    out |= _estimator(model, noise, inputs["prompt_mel"], mu, style, inputs["t_single"])
    out["cfm_4steps_cfg0.7"] = solved(4, _GUIDANCE)
    out["cfm_4steps_cfg0"] = solved(4, 0.0)
    out["cfm_7steps_cfg0.7"] = solved(7, _GUIDANCE)
    out["mel_target"] = out["cfm_4steps_cfg0.7"][:, :, num_prompt:]
    return out


def _estimator(
    model: S2Mel, noise: Tensor, prompt_mel: Tensor, mu: Tensor, style: Tensor, t: Tensor
) -> dict[str, Tensor]:
    """One evaluation with its intermediates, and the one of the null branch."""
    estimator, num_prompt = model.estimator, prompt_mel.shape[2]
    x = noise.clone()
    x[:, :, :num_prompt] = 0
    prompt_x = torch.zeros_like(noise)
    prompt_x[:, :, :num_prompt] = prompt_mel
    out = {
        "dit_t_embedder": estimator.t_embedder(t),
        "dit_merge": estimator.merge(x, estimator.static_inputs(prompt_x, mu, style)),
    }
    inside: dict[str, nn.Module] = {
        "dit_layer0": estimator.get_submodule("transformer.layers.0"),
        "dit_transformer": estimator.transformer,
        "dit_wavenet": estimator.wavenet,
        "dit_final_layer": estimator.final_layer,
    }
    with _outputs_of(inside) as seen:
        out["dit_single"] = estimator(x, prompt_x, mu, style, t)
    nothing = (torch.zeros_like(prompt_x), torch.zeros_like(mu), torch.zeros_like(style))
    out["dit_single_null"] = estimator(x, *nothing, t)
    return out | seen


@contextmanager
def _outputs_of(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What each named module puts out inside the block."""
    seen: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = output

        return keep

    hooks = [module.register_forward_hook(keeper(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {"semantic_codec": _semantic_codec, "s2mel": _s2mel}
"""Golden set name -> our value of every output."""
