"""Small modules as PyTorch's PT2E flow leaves them: integers, scales, and the operators ``quantized_decomposed``."""

from __future__ import annotations

from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # it makes the operators
from torch import nn

ops = torch.ops.quantized_decomposed

Format = tuple[float, int, int, int, torch.dtype]
"""Scale, zero point, least and greatest integer, and type."""


def random_format(rng: torch.Generator, dtype: torch.dtype = torch.int8, reach: float = 4.0) -> Format:
    """A format of 8 bits for numbers on both sides of 0."""
    info = torch.iinfo(dtype)
    scale = float(torch.rand((), generator=rng) * 0.5 + 0.5) * reach / 128
    zero = int(torch.randint(info.min + 40, info.max - 40, (), generator=rng))
    return scale, zero, info.min, info.max, dtype


def around(x: torch.Tensor, form: Format) -> torch.Tensor:
    """A tensor that is quantized and dequantized."""
    return ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *form), *form)


class Weight(nn.Module):
    """A weight of integers, or with ``stored`` False of real numbers that are quantized each time.

    Parameters
    ----------
    rng : torch.Generator
        What draws it.
    shape : tuple of int
        Its shape.
    per_channel : bool
        Whether each channel of axis 0 has a scale.
    stored : bool
        Whether integers are stored.
    """

    def __init__(
        self, rng: torch.Generator, shape: tuple[int, ...], per_channel: bool, stored: bool = True
    ) -> None:
        super().__init__()
        self.per_channel, self.stored = per_channel, stored
        integers = torch.randint(-127, 128, shape, generator=rng, dtype=torch.int8)
        scale = (torch.rand(shape[0] if per_channel else 1, generator=rng) + 0.5) / 256
        self.step = float(scale[0])
        self.register_buffer("scale", scale)
        self.register_buffer("zero", torch.zeros(len(scale), dtype=torch.int64))
        real = integers * scale.reshape(-1, *[1] * (len(shape) - 1))
        self.register_buffer("weight", integers if stored else real)

    def forward(self) -> torch.Tensor:
        if self.per_channel:
            form: tuple[Any, ...] = (self.scale, self.zero, 0, -127, 127, torch.int8)
            integers = self.weight if self.stored else ops.quantize_per_channel(self.weight, *form)
            return ops.dequantize_per_channel(integers, *form)
        form = (self.step, 0, -127, 127, torch.int8)
        integers = self.weight if self.stored else ops.quantize_per_tensor(self.weight, *form)
        return ops.dequantize_per_tensor(integers, *form)


class EveryLayer(nn.Module):
    """Convolutions, a depthwise one, a sum, pools, a concatenation of several scales, a linear layer.

    Parameters
    ----------
    seed : int
        What weights and scales are drawn from.
    dtype : torch.dtype
        Of activations.
    per_channel, stored : bool
        As of `Weight`.
    """

    def __init__(
        self, seed: int, dtype: torch.dtype = torch.int8, per_channel: bool = True, stored: bool = True
    ) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        shapes = {"first": (6, 2, 3, 3), "second": (6, 6, 3, 3), "depthwise": (6, 1, 3, 3), "last": (5, 12)}
        self.weights = nn.ModuleDict(
            {name: Weight(rng, shape, per_channel, stored) for name, shape in shapes.items()}
        )
        self.register_buffer("bias", torch.randn(6, generator=rng))
        # A bias of integers has the scale of a product.
        self.register_buffer("integers", torch.randint(-999, 999, (5,), generator=rng, dtype=torch.int32))
        self.forms = [random_format(rng, dtype) for _ in range(8)]
        low, high = self.forms[1][2:4]
        self.forms[1] = 0.0173, low, low, high, dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        forms, conv = self.forms, nn.functional.conv2d
        weights = {name: weight() for name, weight in self.weights.items()}
        a = around(torch.relu(conv(around(x, forms[0]), weights["first"], self.bias, padding=1)), forms[1])
        pool = around(nn.functional.max_pool2d(a, 2), forms[1])
        b = around(conv(pool, weights["second"], padding=1), forms[2])
        total = around(b + pool, forms[3])
        c = around(conv(total, weights["depthwise"], self.bias, padding=1, groups=6), forms[4])
        both = around(torch.cat([c, total], 1), forms[5])
        mean = around(nn.functional.adaptive_avg_pool2d(both, 1), forms[6])
        wide = torch.iinfo(torch.int32)
        bias = ops.dequantize_per_tensor(self.integers, 1e-4, 0, wide.min, wide.max, torch.int32)
        return around(nn.functional.linear(mean.flatten(1), weights["last"], bias), forms[7])


def exported(module: nn.Module, shape: tuple[int, ...] = (4, 2, 8, 8)) -> torch.export.ExportedProgram:
    """The program of a module for inputs of a shape."""
    return torch.export.export(module.eval(), (torch.zeros(shape),))
