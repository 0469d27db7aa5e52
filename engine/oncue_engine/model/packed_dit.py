"""The flow estimator for speech: the same function as `dit.DiT`, laid out for many rows of many lengths.

The frames of all rows lie one after the other on one axis [N,H], without padding, so every product is one product;
what stands between products is fused (kernels/flow.py). Products run in one precision, the residual streams in
float32. Beyond that, three things are spared, none of which changes the result:

- Where nothing stands between two linear layers, they are one: the condition's projection and the merge, the last skip
  and what reads it, the last two layers, WaveNet's skips of all layers.
- Velocities are wanted from a row's first solved frame on. WaveNet sees a few frames before it, and the last layer of
  the transformer is evaluated for those alone (its keys and values are of all frames, as always).
- Guidance is linear, so the two branches are one before the last product.

A row's result depends on its own frames only, up to the rounding of products of another size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels.attention import attention
from ..kernels.flow import Segments, guided_norm, residual_norm, wave_gate, wave_input
from ..kernels.products import Product
from ..let_go import let_go
from .dit import DiT
from .transformer import rotary_table
from .wavenet import WaveNet

__all__ = ["PackedDiT", "PackedLayout", "PackedTimes"]

_MULTIPLE = 32
"""Of bf16 inputs of products. oneDNN reads past the end of a row of 80 mel bins, into the next one: times zero, but not
where the next one holds a NaN, and the next one may be another listener's."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedTimes:
    """What the times decide: S rows, one per time, float32."""

    adaptive: Tensor  # [S, 2 * depth + 1, 2, H] scale (times the norm's weight) and shift
    wavenet: Tensor  # [S, layers, 2W] with the convolutions' biases
    final: Tensor  # [S, 2, W] 1 + scale, and shift

    @classmethod
    def of_rows(cls, tables: Sequence[PackedTimes], steps: Sequence[int]) -> PackedTimes:
        """One time for each row of a batch: row r's is number `steps[r]` of `tables[r]`."""
        if len(tables) == 1:
            table, one = tables[0], slice(steps[0], steps[0] + 1)
            return cls(table.adaptive[one], table.wavenet[one], table.final[one])
        chosen = list(zip(tables, steps, strict=True))
        return cls(
            torch.stack([table.adaptive[step] for table, step in chosen]),
            torch.stack([table.wavenet[step] for table, step in chosen]),
            torch.stack([table.final[step] for table, step in chosen]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PackedLayout:
    """Where the rows of a batch lie. With two branches a row has two segments, one after the other."""

    frames: tuple[int, ...]
    solved: tuple[int, ...]
    """The last frames of each row: their velocity is wanted."""
    whole: Segments
    tail: Segments
    """The last frames that WaveNet sees: the solved ones and what their convolutions reach."""

    @property
    def tail_spans(self) -> list[tuple[int, int]]:
        """Where the tail's segments lie on the axis of all frames."""
        counts = [end - begin for begin, end in self.tail.spans]
        return [(end - count, end) for end, count in zip(self.whole.ends, counts, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    qkv: Product
    out: Product
    gates: Product
    down: Product
    skip: Product | None


class PackedDiT:
    """Evaluates a loaded DiT. Holds copies of its weights; immutable but for a growing table of positions."""

    def __init__(self, estimator: DiT, precision: torch.dtype) -> None:
        """ValueError for a precision other than float32 and bfloat16."""
        if precision not in (torch.float32, torch.bfloat16):
            raise ValueError(f"products run in float32 or bfloat16, not {precision}")
        self.config = estimator.config
        self.precision = precision
        self._estimator = estimator
        with torch.no_grad():
            self._fold(estimator)
        let_go(estimator.parameters())
        self._rotary = self._turns(1024)

    def _fold(self, estimator: DiT) -> None:
        config, blocks = self.config, estimator.transformer.layers
        mels, hidden = config.in_channels, config.hidden_dim
        merge = estimator.cond_x_merge_linear
        parts = torch.split(_full(merge.weight), [mels, mels, hidden, config.style_dim], dim=1)
        project = estimator.cond_projection
        self._noisy_padding = -mels % _MULTIPLE
        self._noisy = self._affine(F.pad(parts[0], (0, self._noisy_padding)))
        self._null = parts[2] @ _full(project.bias) + _full(merge.bias)  # [H]
        self._prompt, self._style = self._affine(parts[1]), self._affine(parts[3])
        self._content = self._affine(parts[2] @ _full(project.weight))
        self._layers = [
            _Layer(
                self._linear(block.attention.wqkv),
                self._linear(block.attention.wo),
                Product.of(torch.cat((ffn.w1.weight, ffn.w3.weight)), None, self.precision, gates=True),
                self._linear(block.feed_forward.w2),
                None if block.skip_in_linear is None else self._linear(block.skip_in_linear),
            )
            for block, ffn in ((block, block.feed_forward) for block in blocks)
        ]
        norms = [norm for block in blocks for norm in (block.attention_norm, block.ffn_norm)]
        self._norm_weights = torch.stack([_full(norm.norm.weight) for norm in (*norms, estimator.transformer.norm)])

        readers = (estimator.conv1, estimator.res_projection)
        reading, bias = (torch.cat([_full(getattr(part, name)) for part in readers]) for name in ("weight", "bias"))
        skip = estimator.skip_linear
        entry = F.pad(reading @ _full(skip.weight), (0, self._noisy_padding))
        self._entry = self._affine(entry, reading @ _full(skip.bias) + bias)  # [2W, H + 96]
        self._fold_wavenet(estimator.wavenet)
        last, conv = estimator.final_layer.linear, estimator.conv2
        to_mel = _full(conv.weight)[:, :, 0]
        assert conv.bias is not None
        weight, bias = to_mel @ _full(last.weight), to_mel @ _full(last.bias) + _full(conv.bias)
        # Rows of zeros, since a product of whole tiles is the faster one.
        padding = self._noisy_padding
        self._exit = self._affine(F.pad(weight, (0, 0, 0, padding)), F.pad(bias, (0, padding)))  # [96, W]

    def _fold_wavenet(self, wavenet: WaveNet) -> None:
        width = wavenet.config.hidden_dim
        inner = wavenet.gated_convolutions
        # [2W, W, K] -> [2W, K * W]: frames that follow each other are one long row of the padded stream.
        self._convs = [self._affine(_full(conv.weight).transpose(1, 2).reshape(2 * width, -1)) for conv in inner]
        self._conv_biases = torch.stack([_bias(conv) for conv in inner])  # [layers, 2W]
        outs = wavenet.output_convolutions
        weights, biases = [_full(conv.weight)[:, :, 0] for conv in outs], [_bias(conv) for conv in outs]
        # All but the last give a residual first, then a skip.
        self._residuals = [
            self._affine(weight[:width], bias[:width]) for weight, bias in zip(weights[:-1], biases[:-1], strict=True)
        ]
        skips = torch.cat([weight[-width:] for weight in weights], dim=1)  # [W, layers * W]
        self._skips = self._affine(skips, torch.stack([bias[-width:] for bias in biases]).sum(dim=0))

    @torch.no_grad()
    def times(self, steps: int) -> PackedTimes:
        """The times of `steps` uniform Euler steps, 0 to 1 - 1 / steps. ValueError for fewer than one."""
        if steps < 1:
            raise ValueError(f"a flow needs at least one step, got {steps}")
        times = torch.linspace(0.0, 1.0, steps + 1, device=self._null.device)[:-1]
        given = self._estimator.time_conditioning(times)
        adaptive, wavenet, final = _full(given.adaptive).clone(), _full(given.wavenet), _full(given.final)
        adaptive[:, :, 0] *= self._norm_weights
        shift, scale = final.unbind(1)
        return PackedTimes(
            adaptive,
            wavenet.reshape(steps, len(self._convs), -1) + self._conv_biases,
            torch.stack((1.0 + scale, shift), dim=1),
        )

    @torch.no_grad()
    def static(self, prompt_mel: Tensor, mu: Tensor, style: Tensor) -> Tensor:
        """prompt_mel [80,P], mu [F,C], style [S] -> what does not change along the flow, [F,H] float32."""
        static = self._content(mu.to(self.precision)).to(torch.float32) + self._null
        static += self._style(style[None].to(self.precision))
        static[: prompt_mel.shape[1]] += self._prompt(prompt_mel.t().to(self.precision))
        return static

    def layout(self, frames: Sequence[int], solved: Sequence[int], branches: int) -> PackedLayout:
        """Rows of `frames` frames each; velocities are wanted of the last `solved` of them.

        ValueError for a row of which none or more than all are wanted.
        """
        if any(not 1 <= wanted <= count for wanted, count in zip(solved, frames, strict=True)):
            raise ValueError(f"{list(solved)} solved frames of {list(frames)}")
        reach = len(self._convs) * self._pad_frames
        tails = [min(count, wanted + reach) for wanted, count in zip(solved, frames, strict=True)]
        return PackedLayout(tuple(frames), tuple(solved), _segments(frames, branches), _segments(tails, branches))

    @property
    def _pad_frames(self) -> int:
        return self.config.wavenet.kernel_size // 2

    @torch.no_grad()
    def velocity(
        self, x: Tensor, static: Sequence[Tensor], times: PackedTimes, layout: PackedLayout, guidance: float
    ) -> Tensor:
        """The velocity of every row's solved frames, one row after the other: [sum(solved), 80] float32.

        x [sum(frames), 80], zero in the prompts; static: each row's [F,H]; times: one per row.
        With one branch the guidance is not used.
        """
        noisy = F.pad(x.to(self.precision), (0, self._noisy_padding))  # [sum(frames), 96]
        z = self._transform(noisy, self._merged(noisy, static, layout), times, layout)  # [tail, H + 96]
        both = self._entry(z)  # [tail, 2W]: what enters WaveNet, and what goes past it
        width = self.config.wavenet.hidden_dim
        wave = self._wave(both[:, :width], times, layout.tail)
        out = guided_norm(wave, both[:, width:], layout.tail, layout.solved, guidance, times.final)
        return self._exit(out)[:, : self.config.in_channels].to(torch.float32)

    def _merged(self, noisy: Tensor, static: Sequence[Tensor], layout: PackedLayout) -> Tensor:
        """The transformer's input of all segments, [N,H] float32: both branches see the same noisy mel."""
        merged = self._noisy(noisy)  # [sum(frames), H]
        stream = static[0].new_empty(layout.whole.frames, merged.shape[1])
        spans = iter(layout.whole.spans)
        for own, known in zip(torch.split(merged, list(layout.frames)), static, strict=True):
            for given in (known, self._null)[: layout.whole.branches]:
                begin, end = next(spans)
                torch.add(given, own, out=stream[begin:end])
        return stream

    def _transform(self, noisy: Tensor, stream: Tensor, times: PackedTimes, layout: PackedLayout) -> Tensor:
        """stream [N,H] (changed) -> the last norm's output and the noisy mel of the tail's frames, [tail, H + 96]."""
        hidden, whole, tail = stream.shape[1], layout.whole, layout.tail
        rotary = self._positions(max(layout.frames))
        heads = self.config.num_heads
        normed = noisy.new_empty(whole.frames, hidden)
        pairs: list[Tensor] = []  # [N, 2H] each: room for a later stream, and a stored one
        middle, last = len(self._layers) // 2, len(self._layers) - 1
        added: Tensor | None = None
        for number, layer in enumerate(self._layers):
            modulation = times.adaptive[:, 2 * number]
            if layer.skip is not None:
                pair = pairs.pop()
                residual_norm(stream, added, whole, None, None, copy=pair[:, :hidden])
                residual_norm(stream, layer.skip(pair), whole, modulation, normed, replace=True)
            elif 0 < number <= middle:
                pairs.append(noisy.new_empty(whole.frames, 2 * hidden))
                residual_norm(stream, added, whole, modulation, normed, copy=pairs[-1][:, hidden:])
            else:
                residual_norm(stream, added, whole, modulation, normed)
            mixed = attention(layer.qkv(normed), rotary, whole, tail if number == last else whole, heads)
            if number == last:
                stream = torch.cat([stream[begin:end] for begin, end in layout.tail_spans])
                normed = normed[: tail.frames]
            here = tail if number == last else whole
            residual_norm(stream, layer.out(mixed), here, times.adaptive[:, 2 * number + 1], normed)
            added = layer.down(layer.gates(normed))
        z = noisy.new_empty(tail.frames, hidden + noisy.shape[1])
        residual_norm(stream, added, tail, times.adaptive[:, -1], z[:, :hidden])
        counts = [end - begin for begin, end in tail.spans]
        rows = torch.split(noisy, list(layout.frames))
        for number, (begin, end) in enumerate(tail.spans):
            z[begin:end, hidden:] = rows[number // tail.branches][-counts[number] :]
        return z

    def _wave(self, entering: Tensor, times: PackedTimes, tail: Segments) -> Tensor:
        """entering [tail,W] -> the sum of WaveNet's skips [tail,W]."""
        width, pad = entering.shape[1], self._pad_frames
        stream = entering.new_empty(tail.frames, width, dtype=torch.float32)
        padded = entering.new_empty(tail.frames + 2 * pad * len(tail.ends), width)
        # A frame and its neighbours are one row, without a copy; rows between two segments mean nothing.
        view = padded.as_strided((len(padded) - 2 * pad, (2 * pad + 1) * width), (width, 1))
        gated = entering.new_empty(tail.frames, len(self._convs) * width)
        added = entering
        for number, conv in enumerate(self._convs):
            wave_input(stream, added, tail, pad, padded, replace=number == 0)
            own = gated[:, number * width : (number + 1) * width]
            wave_gate(conv(view), times.wavenet[:, number], tail, pad, own)
            if number < len(self._residuals):
                added = self._residuals[number](own)
        return self._skips(gated)

    def _positions(self, num_frames: int) -> Tensor:
        if num_frames > len(self._rotary):
            # Two threads may both make one; either is right.
            self._rotary = self._turns(2 * num_frames)
        return self._rotary

    def _turns(self, num_frames: int) -> Tensor:
        """cos and sin of every position, [num_frames, 2, d / 2] float32."""
        table = rotary_table(num_frames, self.config.hidden_dim // self.config.num_heads, self._null.device)
        return table.transpose(1, 2).contiguous()

    def _linear(self, linear: nn.Linear) -> Product:
        return self._affine(linear.weight, linear.bias)

    def _affine(self, weight: Tensor, bias: Tensor | None = None) -> Product:
        return Product.of(weight, bias, self.precision)


def _segments(counts: Sequence[int], branches: int) -> Segments:
    ends, end = [], 0
    for count in counts:
        for _ in range(branches):
            end += count
            ends.append(end)
    return Segments(tuple(ends), branches)


def _full(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32)


def _bias(conv: nn.Conv1d) -> Tensor:
    assert conv.bias is not None
    return _full(conv.bias)
