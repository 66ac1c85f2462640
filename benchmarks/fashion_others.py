"""Trains more networks of other kinds on Fashion-MNIST: benchmarks/networks/fashion_residual.onnx, _depthwise, _mobile.

    python benchmarks/fashion_others.py [residual] [depthwise] [mobile]

Pixels 0..255 in, ten scores out, trained as fashion_cnn.py does it. The residual network has two blocks of two 3x3
convolutions, the second one with a strided 1x1 projection beside it (19,706 parameters); the depthwise one three
pairs of a depthwise and a pointwise convolution with ReLU6 (9,898 parameters). The mobile one is MobileNetV3-Small in
little: inverted residual blocks with squeeze-and-excitation and HardSwish (Howard et al., "Searching for MobileNetV3",
2019; 26,866 parameters). All end in a global average pool over 7x7 pixels and a fully connected layer. Seeds are fixed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import fashion_mnist
from fashion_cnn import DEVIATION, MEAN, accuracy, export, train
from torch import nn

NETWORKS = Path(__file__).resolve().parent / "networks"
EPOCHS = 10


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, or halves it, and batch normalization."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Classifier(nn.Module):
    """(N, 1, 28, 28) pixels 0..255 to (N, 10) scores, with features (N, channels, 7, 7) in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.average = nn.AvgPool2d(7)
        self.scores = nn.Linear(channels, 10)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.features(image * (1 / (255 * DEVIATION)) - MEAN / DEVIATION)
        return self.scores(torch.flatten(self.average(x), 1))


class Residual(Classifier):
    """Additions around two 3x3 convolutions each."""

    def __init__(self) -> None:
        super().__init__(32)
        self.first = block(1, 16, stride=2)
        self.near = nn.Sequential(block(16, 16), nn.ReLU(), block(16, 16))
        self.far = nn.Sequential(block(16, 32, stride=2), nn.ReLU(), block(32, 32))
        self.projection = block(16, 32, kernel=1, stride=2)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.near(x) + x)
        return torch.relu(self.far(x) + self.projection(x))


class Depthwise(Classifier):
    """Depthwise separable convolutions with ReLU6."""

    def __init__(self) -> None:
        super().__init__(64)
        layers = [block(1, 32, stride=2), nn.ReLU6()]
        for inputs, outputs, stride in ((32, 32, 1), (32, 64, 2), (64, 64, 1)):
            layers += [block(inputs, inputs, stride=stride, groups=inputs), nn.ReLU6()]
            layers += [block(inputs, outputs, kernel=1), nn.ReLU6()]
        self.layers = nn.Sequential(*layers)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class SqueezeExcitation(nn.Module):
    """Each channel times a factor that the means of all channels decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * nn.functional.hardsigmoid(self.expand(torch.relu(self.reduce(means))))


class Inverted(nn.Module):
    """Wider by a pointwise convolution, filtered by a depthwise one, weighed channel by channel, and narrow again."""

    def __init__(self, inputs: int, wide: int, outputs: int, kernel: int, stride: int, act: type[nn.Module]):
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *(block(inputs, wide, kernel=1), act()),
            *(block(wide, wide, kernel, stride, groups=wide), act()),
            SqueezeExcitation(wide),
            block(wide, outputs, kernel=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Mobile(Classifier):
    """MobileNetV3-Small in little."""

    def __init__(self) -> None:
        super().__init__(96)
        self.layers = nn.Sequential(
            *(block(1, 16, stride=2), nn.Hardswish()),
            Inverted(16, 16, 16, 3, 1, nn.ReLU),
            Inverted(16, 64, 24, 3, 2, nn.ReLU),
            Inverted(24, 72, 24, 3, 1, nn.Hardswish),
            Inverted(24, 72, 32, 5, 1, nn.Hardswish),
            *(block(32, 96, kernel=1), nn.Hardswish()),
        )

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


KINDS: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "depthwise": Depthwise,
    "mobile": Mobile,
}


def main() -> int:
    for name in sys.argv[1:] or KINDS:
        model = train(KINDS[name], *fashion_mnist("train"), EPOCHS)
        found = [f"{part} {accuracy(model, *fashion_mnist(part)):.4f}" for part in ("validation", "test")]
        path = NETWORKS / f"fashion_{name}.onnx"
        export(model, path)
        size = sum(item.numel() for item in model.parameters())
        print(f"{path.name}: {', '.join(found)}, {size:,} parameters, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
