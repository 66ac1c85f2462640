"""Data files: ``DATA.npz`` with ``x`` (N, then the input's shape) and, where known, the labels ``y``.

For a network with several inputs there is an array for each, by its name, in place of ``x``.
"""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
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

LABELS = "y"


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples as a network's user gives them.

    Attributes
    ----------
    x : float32 or uint8 (N, *shape), finite; a mapping by input name where the network has several
    y : int64 (N,), the index of the right class, or None where it is not known
    """

    x: NDArray[Any] | Mapping[str, NDArray[Any]]
    y: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(next(iter(self.x.values())) if isinstance(self.x, Mapping) else self.x)

    def __getitem__(self, part: slice) -> Samples:
        """Some of the samples."""
        if isinstance(self.x, Mapping):
            x: NDArray[Any] | Mapping[str, NDArray[Any]] = {
                name: array[part] for name, array in self.x.items()
            }
        else:
            x = self.x[part]
        return Samples(x, None if self.y is None else self.y[part])

    def pair(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """``x`` and ``y`` of a network with one input, as training takes them; raises where there are none."""
        if isinstance(self.x, Mapping):
            raise HwquantError(f"the data has the inputs {', '.join(self.x)}, and one is needed")
        if self.y is None:
            raise HwquantError("the data has no labels y, and they are needed")
        return self.x, self.y

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


def load_samples(path: str | os.PathLike[str], inputs: Sequence[Input], count: int | None = None) -> Samples:
    """Read a data file and check it against a network's inputs.

    Parameters
    ----------
    path : an .npz file with ``x``, or an array for each of several inputs by its name; optionally ``y``
        (integer labels; where an input has this name, it is that input)
    inputs : the network's
    count : take only that many samples, the first ones

    Raises
    ------
    HwquantError : unreadable, damaged, of the wrong shape or dtype, not finite, or with too few samples
    """
    keys = {item.name: item.name for item in inputs} if len(inputs) > 1 else {inputs[0].name: "x"}
    arrays = _read(Path(path), list(keys.values()))
    data = {item.name: _input(path, keys[item.name], arrays[keys[item.name]], item) for item in inputs}
    counts = {keys[name]: len(array) for name, array in data.items()}
    if len(set(counts.values())) > 1:
        numbers = ", ".join(f"{number} of {key}" for key, number in counts.items())
        raise HwquantError(f"{path} has {numbers}; every sample needs an array for each input")
    total = next(iter(counts.values()))
    labelled = LABELS in arrays and LABELS not in keys.values()
    y = _labels(path, arrays[LABELS], total) if labelled else None
    samples = Samples(data if len(inputs) > 1 else data[inputs[0].name], y)
    if count is None:
        return samples
    if not 1 <= count <= total:
        raise HwquantError(f"{path} has {total} samples; {count} cannot be taken, ask for 1 to {total}")
    return samples[:count]


def load_array(path: str | os.PathLike[str], key: str = "x") -> NDArray[Any]:
    """One array of an .npz file, unchecked."""
    return _read(Path(path), [key])[key]


def _input(path: str | os.PathLike[str], key: str, x: NDArray[Any], item: Input) -> NDArray[Any]:
    """One input's array, checked."""
    if x.dtype not in (np.float32, np.uint8):
        raise HwquantError(f"{path}: {key} has dtype {x.dtype}; give float32 or uint8")
    if x.ndim == 0 or x.shape[1:] != item.shape or len(x) == 0:
        wanted = ", ".join(map(str, ("N", *item.shape)))
        raise HwquantError(
            f"{path}: {key} has shape {x.shape}, the network's input {item.name!r} needs ({wanted}) with N >= 1"
        )
    finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if not finite.all():
        raise HwquantError(f"{path}: sample {int(finite.argmin())} of {key} holds NaN or infinity; remove it")
    return x


def _labels(path: str | os.PathLike[str], y: NDArray[Any], count: int) -> NDArray[np.int64]:
    if y.dtype.kind not in "iu":
        raise HwquantError(f"{path}: y has dtype {y.dtype}; labels must be integers")
    if y.shape != (count,):
        raise HwquantError(f"{path}: y has shape {y.shape}; {count} samples need labels of shape ({count},)")
    if y.min() < 0:
        raise HwquantError(f"{path}: y holds the label {y.min()}; labels count from 0")
    return y.astype(np.int64)


def _read(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays ``keys`` and, where there are any, the labels; others are left alone."""
    write = f"write it with numpy.savez(path, {', '.join(f'{key}=...' for key in dict.fromkeys([*keys, LABELS]))})"
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise HwquantError(f"{path} is a single array; {write}")
            for key in keys:
                if key not in loaded.files:
                    found = ", ".join(sorted(loaded.files)) or "nothing"
                    raise HwquantError(f"{path} holds {found}, but no {key!r}; {write}")
            arrays: dict[str, NDArray[Any]] = {
                name: loaded[name] for name in (*keys, LABELS) if name in loaded.files
            }
    except OSError as error:
        raise HwquantError(f"cannot read {path}: {error.strerror or error}") from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HwquantError(f"{path} is no .npz file, or it is truncated or damaged: {reason}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise HwquantError(f"{path}: {name} is no array; {write}")
    return arrays
