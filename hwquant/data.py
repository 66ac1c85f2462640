"""Data files: ``DATA.npz`` with ``x`` (N, then the input's shape) and, where known, the labels ``y``."""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Input

_DAMAGED = (
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""All that numpy and zipfile raise for bytes that are no .npz, or no longer one."""


_WRITE = "write it with numpy.savez(path, x=..., y=...)"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples as a network's user gives them.

    Attributes
    ----------
    x : float32 or uint8 (N, *shape), finite
    y : int64 (N,), the index of the right class, or None where it is not known
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.x)

    def accuracy(self, output: NDArray[Any]) -> float | None:
        """Share of samples, 0..1, whose class is the label; None without labels.

        ``output`` is what the network's user gets: scores (N, ...), of which the greatest wins (the first of
        equals), or the classes themselves, integer (N,).
        """
        if self.y is None:
            return None
        scores = output.reshape(len(output), -1)
        if output.dtype.kind in "iu" and scores.shape[1] == 1:
            return float((scores[:, 0] == self.y).mean())
        if self.y.max() >= scores.shape[1]:
            raise HwquantError(
                f"the label {self.y.max()} has no score: the network's output has {scores.shape[1]}; "
                "give labels that count from 0"
            )
        return float((scores.argmax(axis=1) == self.y).mean())


def load_samples(path: str | os.PathLike[str], item: Input, count: int | None = None) -> Samples:
    """Read a data file and check it against a network's input.

    Parameters
    ----------
    path : an .npz file with ``x``, and optionally ``y`` (integers)
    item : the input that ``x`` is for
    count : take only that many samples, the first ones

    Raises
    ------
    HwquantError : unreadable, damaged, of the wrong shape or dtype, not finite, or with too few samples
    """
    arrays = _read(Path(path))
    x = arrays["x"]
    if x.dtype not in (np.float32, np.uint8):
        raise HwquantError(f"{path}: x has dtype {x.dtype}; give float32 or uint8")
    if x.ndim == 0 or x.shape[1:] != item.shape or len(x) == 0:
        wanted = ", ".join(map(str, ("N", *item.shape)))
        raise HwquantError(
            f"{path}: x has shape {x.shape}, the network's input {item.name!r} needs ({wanted}) with N >= 1"
        )
    finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if not finite.all():
        raise HwquantError(f"{path}: sample {int(finite.argmin())} of x holds NaN or infinity; remove it")
    y = _labels(path, arrays["y"], len(x)) if "y" in arrays else None
    if count is not None:
        if not 1 <= count <= len(x):
            raise HwquantError(f"{path} has {len(x)} samples; {count} cannot be taken, ask for 1 to {len(x)}")
        x, y = x[:count], None if y is None else y[:count]
    return Samples(x, y)


def _labels(path: str | os.PathLike[str], y: NDArray[Any], count: int) -> NDArray[np.int64]:
    if y.dtype.kind not in "iu":
        raise HwquantError(f"{path}: y has dtype {y.dtype}; labels must be integers")
    if y.shape != (count,):
        raise HwquantError(f"{path}: y has shape {y.shape}; {count} samples need labels of shape ({count},)")
    if y.min() < 0:
        raise HwquantError(f"{path}: y holds the label {y.min()}; labels count from 0")
    return y.astype(np.int64)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays x and, where there is one, y; others are left alone."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise HwquantError(f"{path} is a single array; {_WRITE}")
            if "x" not in loaded.files:
                found = ", ".join(sorted(loaded.files)) or "nothing"
                raise HwquantError(f"{path} holds {found}, but no 'x'; {_WRITE}")
            arrays: dict[str, NDArray[Any]] = {
                name: loaded[name] for name in ("x", "y") if name in loaded.files
            }
    except OSError as error:
        raise HwquantError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HwquantError(f"{path} is no .npz file, or it is truncated or damaged: {reason}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise HwquantError(f"{path}: {name} is no array; {_WRITE}")
    return arrays
