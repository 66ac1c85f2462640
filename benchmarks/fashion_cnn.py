"""Trains the benchmarks' network on Fashion-MNIST and writes benchmarks/networks/fashion_cnn.onnx.

    python benchmarks/fashion_cnn.py

Pixels 0..255 in, ten scores out; the normalization is part of the network. 33,338 parameters and 1.1 million
multiply-accumulates: a 3x3 convolution and a max pool, a strided convolution, a residual block, another
strided convolution, a global average pool over 4x4 pixels, and a fully connected layer. Channels are multiples
of 8. Trained on the first 55,000 training images, with flips and shifts; the other 5,000 are for decisions.
Seeds are fixed. Exits 1 below 90 % on the test images.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from datasets import fashion_mnist
from torch import nn

NETWORK = Path(__file__).resolve().parent / "networks" / "fashion_cnn.onnx"
TARGET = 0.90
SEED = 7
EPOCHS = 24
BATCH = 128
RATE = 4e-3
SHIFT = 2
"""Pixels by which training images are moved, at most."""
MEAN, DEVIATION = 0.2860, 0.3530
"""Of the training images' pixels / 255."""
NODES = (
    "scale",
    "shift",
    "conv1",
    "relu1",
    "pool1",
    "conv2",
    "relu2",
    "conv3",
    "add3",
    "relu3",
    "conv4",
    "relu4",
    "average",
    "flatten",
    "scores",
)
"""Names of the exported operators, in order."""
Model = TypeVar("Model", bound=nn.Module)


class FashionCnn(nn.Module):
    """(N, 1, 28, 28) pixels 0..255 to (N, 10) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = self.block(1, 16, 1)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = self.block(16, 32, 2)
        self.conv3 = self.block(32, 32, 1)
        self.conv4 = self.block(32, 64, 2)
        self.average = nn.AvgPool2d(4)
        self.scores = nn.Linear(64, 10)

    @staticmethod
    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        """A 3x3 convolution and its batch normalization."""
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = image * (1 / (255 * DEVIATION)) - MEAN / DEVIATION
        x = self.pool1(torch.relu(self.conv1(x)))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.conv3(x) + x)
        x = torch.relu(self.conv4(x))
        return self.scores(torch.flatten(self.average(x), 1))


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image flipped or not, and moved by up to SHIFT pixels; float (N, 1, H, W)."""
    count, _, height, width = images.shape
    flips = torch.rand(count, generator=generator) < 0.5
    images = torch.where(flips[:, None, None, None], images.flip(3), images)
    padded = nn.functional.pad(images, (SHIFT,) * 4)
    moves = torch.randint(0, 2 * SHIFT + 1, (2, count, 1), generator=generator)
    rows = (moves[0] + torch.arange(height))[:, :, None]
    columns = (moves[1] + torch.arange(width))[:, None, :]
    return padded[torch.arange(count)[:, None, None], 0, rows, columns][:, None]


def train(make: Callable[[], Model], x: np.ndarray, y: np.ndarray, epochs: int = EPOCHS) -> Model:
    """AdamW with one cycle of the learning rate, on one thread: the order of additions decides the last bits."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    model = make().to(memory_format=torch.channels_last)
    images, labels = torch.tensor(x).float(), torch.tensor(y).long()
    steps = epochs * -(-len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            loss = nn.functional.cross_entropy(model(augment(images[batch], generator)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(images):.4f}, {seconds:.0f} s", flush=True)
    return model.eval()


def export(model: nn.Module, path: Path, names: Sequence[str] = ()) -> None:
    """ONNX with a free batch dimension, without the exporter's notes on source files."""
    program = torch.onnx.export(
        model,
        (torch.zeros(2, 1, 28, 28),),
        input_names=["image"],
        output_names=["scores"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    proto = program.model_proto
    proto.graph.name = path.stem
    for node, name in zip(proto.graph.node, names, strict=bool(names)):
        node.name = name
    del proto.metadata_props[:]
    graph = proto.graph
    for item in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info]:
        del item.metadata_props[:]
        item.doc_string = ""
    onnx.checker.check_model(proto, full_check=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    with torch.no_grad():
        scores = torch.cat([model(torch.from_numpy(part).float()) for part in np.array_split(x, 20)])
    return float((scores.argmax(dim=1).numpy() == y).mean())


def main() -> int:
    model = train(FashionCnn, *fashion_mnist("train"))
    result = accuracy(model, *fashion_mnist("test"))
    print(f"validation {accuracy(model, *fashion_mnist('validation')):.4f}  test {result:.4f}")
    export(model, NETWORK, NODES)
    print(f"{NETWORK.name}: {NETWORK.stat().st_size} bytes")
    return 0 if result >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
