"""ResNet18 and MobileNetV2 with random weights, in torch alone: architecture and initialization of torchvision 0.20."""

from __future__ import annotations

import torch
from torch import nn

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Of ResNet18: channels, and the first block's stride."""
INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of MobileNetV2: how much wider blocks are inside, their channels, their number, and the first one's stride."""


def convolution(
    inside: int,
    outside: int,
    size: int,
    stride: int = 1,
    *,
    groups: int = 1,
    activation: type[nn.Module] | None,
) -> nn.Sequential:
    """A convolution, its batch normalization, and an activation or none."""
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    ]
    layers += [activation()] if activation else []
    return nn.Sequential(*layers)


class Block(nn.Module):
    """Layers beside a shortcut."""

    def __init__(self, layers: nn.Module, shortcut: nn.Module, after: nn.Module):
        super().__init__()
        self.layers, self.shortcut, self.after = layers, shortcut, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the two."""
        return self.after(self.shortcut(x) + self.layers(x))


class Classifier(nn.Sequential):
    """Features, their mean, and 1,000 classes."""

    def __init__(self, features: list[nn.Module], channels: int):
        super().__init__(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self[-1].weight, 0, 0.01)


class ResNet18(Classifier):
    """ResNet18."""

    def __init__(self) -> None:
        features: list[nn.Module] = [convolution(3, 64, 7, 2, activation=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
        before = 64
        for channels, first in STAGES:
            for stride in (first, 1):
                layers = nn.Sequential(
                    convolution(before, channels, 3, stride, activation=nn.ReLU),
                    convolution(channels, channels, 3, activation=None),
                )
                same = stride == 1 and before == channels
                shortcut = (
                    nn.Identity() if same else convolution(before, channels, 1, stride, activation=None)
                )
                features.append(Block(layers, shortcut, nn.ReLU()))
                before = channels
        super().__init__(features, before)


class MobileNetV2(Classifier):
    """MobileNetV2 of width 1."""

    def __init__(self) -> None:
        features: list[nn.Module] = [convolution(3, 32, 3, 2, activation=nn.ReLU6)]
        before = 32
        for wider, channels, count, first in INVERTED:
            for stride in (first, *[1] * (count - 1)):
                inside = before * wider
                layers = [convolution(before, inside, 1, activation=nn.ReLU6)] if wider > 1 else []
                layers += [
                    convolution(inside, inside, 3, stride, groups=inside, activation=nn.ReLU6),
                    convolution(inside, channels, 1, activation=None),
                ]
                block = nn.Sequential(*layers)
                same = stride == 1 and before == channels
                features.append(Block(block, nn.Identity(), nn.Identity()) if same else block)
                before = channels
        super().__init__([*features, convolution(before, 1280, 1, activation=nn.ReLU6)], 1280)
