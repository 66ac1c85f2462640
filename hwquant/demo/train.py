"""Train the demo network, and write digits.onnx, digits.npz and calibration.npz next to this file.

    pip install 'hwquant[train]'
    python hwquant/demo/train.py

The data are scikit-learn's 8x8 digits; see README.md in this folder. Seeds are fixed, so that the same
versions of the packages give the same files.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn

HERE = Path(__file__).parent
SEED = 7
TEST_IMAGES = 360
CALIBRATION_IMAGES = 200
EPOCHS = 30
BATCH = 32
NODES = ("scale", "conv1", "relu1", "conv2", "relu2", "pool", "flatten", "scores")
"""Names of the exported operators, in order."""
WHITE = 16.0
"""Greatest pixel value of the data set."""


class Digits(nn.Module):
    """Two convolutions, a max pool and a fully connected layer; pixels 0..16 in, ten scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.scores = nn.Linear(16 * 4 * 4, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the scores (N, 10) of images (N, 1, 8, 8)."""
        x = torch.relu(self.conv1(image / WHITE))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.scores(torch.flatten(x, 1))


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test images, uint8 (N, 1, 8, 8), with their labels, uint8 (N,)."""
    digits = load_digits()
    x = digits.images.astype(np.uint8)[:, None]
    y = digits.target.astype(np.uint8)
    order = np.random.default_rng(SEED).permutation(len(x))
    test, train = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return x[train], y[train], x[test], y[test]


def train(x: np.ndarray, y: np.ndarray) -> Digits:
    """Train a network on labelled images with AdamW and a cosine schedule.

    One thread does it: the order of additions decides the last bits.
    """
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    model = Digits()
    images, labels = torch.from_numpy(x).float(), torch.from_numpy(y).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def export(model: Digits, path: Path) -> None:
    """Write the network as ONNX with a free batch dimension and readable names.

    The exporter's notes on source files are left out.
    """
    example = torch.zeros(2, 1, 8, 8)
    program = torch.onnx.export(
        model,
        (example,),
        input_names=["image"],
        output_names=["scores"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    proto = program.model_proto
    proto.graph.name = "digits"
    for node, name in zip(proto.graph.node, NODES, strict=True):
        node.name = name
    del proto.metadata_props[:]
    for item in [
        proto.graph,
        *proto.graph.node,
        *proto.graph.input,
        *proto.graph.output,
        *proto.graph.value_info,
    ]:
        del item.metadata_props[:]
        item.doc_string = ""
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))


def accuracy(model: Digits, x: np.ndarray, y: np.ndarray) -> float:
    """The share of images, 0..1, whose highest score is that of their label."""
    with torch.no_grad():
        scores = model(torch.from_numpy(x).float()).numpy()
    return float((scores.argmax(axis=1) == y).mean())


def main() -> None:
    """Train, print the accuracies, and write the three files."""
    train_x, train_y, test_x, test_y = split()
    model = train(train_x, train_y)
    print(f"train {accuracy(model, train_x, train_y):.4f}  test {accuracy(model, test_x, test_y):.4f}")
    export(model, HERE / "digits.onnx")
    np.savez_compressed(HERE / "digits.npz", x=test_x, y=test_y)
    np.savez_compressed(HERE / "calibration.npz", x=train_x[:CALIBRATION_IMAGES])
    for name in ("digits.onnx", "digits.npz", "calibration.npz"):
        print(f"{name}: {os.path.getsize(HERE / name)} bytes")


if __name__ == "__main__":
    main()
