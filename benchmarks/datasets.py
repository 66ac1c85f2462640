"""The data sets that the benchmarks run on: in HWQUANT_DATA, by default ../shared/data beside the checkout."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def data_folder() -> Path:
    """Where the data sets and trained networks are."""
    root = Path(__file__).resolve().parent.parent
    return Path(os.environ.get("HWQUANT_DATA", root.parent / "shared" / "data"))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes: two zeros, a type, the number of dimensions, the dimensions, the bytes."""
    with gzip.open(path) as file:
        content = file.read()
    sizes = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes)


def mnist(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 1, 28, 28) and labels of "train" or "t10k"."""
    folder = data_folder() / "mnist"
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    return images[:, None], read_idx(folder / f"{part}-labels-idx1-ubyte.gz")


VALIDATION_IMAGES = 5000
"""Of Fashion-MNIST's training images, the last: what decisions are made on, never trained on."""


def fashion_mnist(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 1, 28, 28) and labels: "train" 55,000, "validation" 5,000, "test" 10,000."""
    folder = data_folder() / "fashion-mnist"
    name = "t10k" if part == "test" else "train"
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")[:, None]
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
    chosen = {
        "train": slice(-VALIDATION_IMAGES),
        "validation": slice(-VALIDATION_IMAGES, None),
        "test": slice(None),
    }[part]
    return images[chosen], labels[chosen]
