"""Modules for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Lambda(nn.Module):
    """A function with layers, as a module."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*self.layers, *inputs)


def trained(norm: nn.Module) -> nn.Module:
    """A BatchNorm whose statistics and parameters are not the initial ones."""
    generator = torch.Generator().manual_seed(1)
    for name in ("weight", "bias", "running_mean"):
        getattr(norm, name).data = torch.randn(norm.num_features, generator=generator)
    norm.running_var.data = torch.rand(norm.num_features, generator=generator) + 0.5
    return norm
