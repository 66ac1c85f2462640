"""Data files: ``DATA.npz`` with ``x`` (N, then the input's shape) and, where known, the labels ``y``.

For a network with several inputs there is an array for each, by its name, in place of ``x``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.data_file import StoredArray, open_data
from hwquant.ends import Port
from hwquant.errors import HwquantError
from hwquant.interface import Input
from hwquant.printable import first_of

LABELS = "y"
DTYPES = (np.float32, np.float64, np.int8, np.uint8)
"""Dtypes that samples may have; networks compute with the values as they are."""


HELD_OUT_SHARE = 0.1
"""Of the training samples, those that decide where no others are given for that."""
MOST_HELD_OUT = 5000

SHOWN = 5
"""Names of arrays that a message has at most."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples as a network's user gives them.

    Attributes
    ----------
    x : ndarray of float32, float64, int8 or uint8, shape (N, ...)
        Finite samples, of integers where the network takes these; a mapping of such arrays by input name where the
        network has several inputs.
    y : ndarray of int64, shape (N,), or None
        Index of the right class of each sample; None where it is not known.
    """

    x: NDArray[Any] | Mapping[str, NDArray[Any]]
    y: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(next(iter(self.x.values())) if isinstance(self.x, Mapping) else self.x)

    def __getitem__(self, part: slice) -> Samples:
        """Take a slice of the samples, with their labels."""
        if isinstance(self.x, Mapping):
            x: NDArray[Any] | Mapping[str, NDArray[Any]] = {
                name: array[part] for name, array in self.x.items()
            }
        else:
            x = self.x[part]
        return Samples(x, None if self.y is None else self.y[part])

    def hold_out(self, seed: int) -> tuple[Samples, Samples]:
        """Divide the samples at random: those to train with, and a tenth, but at most 5,000, to decide by.

        Parameters
        ----------
        seed : int
            Seed of the choice; both parts keep the order of the samples.

        Raises
        ------
        HwquantError
            There are fewer than two samples.
        """
        count, number = len(self), min(MOST_HELD_OUT, math.ceil(HELD_OUT_SHARE * len(self)))
        if not 0 < number < count:
            raise HwquantError(
                f"{count} training samples are too few to hold some back: give validation samples"
            )
        held = np.zeros(count, np.bool_)
        held[np.random.default_rng(seed).permutation(count)[:number]] = True
        return self._where(~held), self._where(held)

    def _where(self, mask: NDArray[np.bool_]) -> Samples:
        x = (
            {name: array[mask] for name, array in self.x.items()}
            if isinstance(self.x, Mapping)
            else self.x[mask]
        )
        return Samples(x, None if self.y is None else self.y[mask])

    def pair(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Give ``x`` and ``y`` of a network with one input, as training takes them.

        Raises
        ------
        HwquantError
            The network has several inputs, or there are no labels.
        """
        if isinstance(self.x, Mapping):
            raise HwquantError(f"the data has the inputs {', '.join(self.x)}, and one is needed")
        if self.y is None:
            raise HwquantError("the data has no labels y, and they are needed")
        return self.x, self.y

    def accuracy(self, output: NDArray[Any]) -> float | None:
        """Measure the share of samples whose class is the label.

        Parameters
        ----------
        output : ndarray, shape (N, ...)
            The network's output as its user gets it: scores, of which the greatest wins (the first of equals), or the
            classes themselves, as integers (N,).

        Returns
        -------
        float or None
            The share, 0..1; None without labels.

        Raises
        ------
        HwquantError
            A label has no score.
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


def load_samples(
    path: str | os.PathLike[str], inputs: Sequence[Input | Port], count: int | None = None
) -> Samples:
    """Read a data file and check it against a network's inputs.

    Parameters
    ----------
    path : str or os.PathLike
        An .npz file with ``x``, or an array for each of several inputs by its name; optionally ``y``
        (integer labels; where an input has this name, it is that input).
    inputs : sequence of Input or Port
        The network's inputs: ``inputs`` of a graph, or ``given_inputs`` where a part of it may be on the host.
    count : int, optional
        How many samples to take, the first ones; None takes all.

    Raises
    ------
    Damaged
        The file is no .npz file, or is truncated or damaged.
    HwquantError
        The file cannot be read, an array is missing, of the wrong shape or dtype or not finite, or there are too few
        samples.
    """
    path = Path(path)
    # The network itself gives its states.
    inputs = [item for item in inputs if isinstance(item, Port) or item.state is None]
    keys = {item.name: item.name for item in inputs} if len(inputs) > 1 else {inputs[0].name: "x"}
    wanted = list(dict.fromkeys([*keys.values(), LABELS]))
    with open_data(path) as file:
        for key in keys.values():
            if key not in file:
                raise HwquantError(
                    f"{path} holds {first_of(file.names, SHOWN) or 'nothing'}, but no {key!r}; write it with "
                    f"numpy.savez(path, {', '.join(f'{name}=...' for name in wanted)})"
                )
        arrays = {name: file.array(name) for name in wanted if name in file}
        for item in inputs:
            _check_input(path, keys[item.name], arrays[keys[item.name]], item)
        counts = {key: arrays[key].rows for key in keys.values()}
        if len(set(counts.values())) > 1:
            numbers = ", ".join(f"{number} of {key}" for key, number in counts.items())
            raise HwquantError(f"{path} has {numbers}; every sample needs an array for each input")
        total = next(iter(counts.values()))
        labelled = LABELS in arrays and LABELS not in keys.values()
        if labelled:
            _check_labels(path, arrays[LABELS], total)
        if count is not None and not 1 <= count <= total:
            raise HwquantError(f"{path} has {total} samples; {count} cannot be taken, ask for 1 to {total}")
        taken = total if count is None else count
        file.check_size([(array, taken) for array in arrays.values()])
        read = {name: array.read(taken) for name, array in arrays.items()}
    data = {item.name: read[keys[item.name]] for item in inputs}
    for name, x in data.items():
        _check_finite(path, keys[name], x)
    y = _labels(path, read[LABELS]) if labelled else None
    return Samples(data if len(inputs) > 1 else data[inputs[0].name], y)


def load_array(path: str | os.PathLike[str], key: str = "x", count: int | None = None) -> NDArray[Any]:
    """Read the first rows of one array of an .npz file; its values are not checked.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    key : str, default "x"
        Name of the array.
    count : int, optional
        How many rows to read; None, and more than there are, reads all.

    Raises
    ------
    Damaged
        The file is no .npz file, or is truncated or damaged.
    HwquantError
        The file cannot be read, or has no such array.
    """
    with open_data(Path(path)) as file:
        if key not in file:
            raise HwquantError(f"{path} holds {first_of(file.names, SHOWN) or 'nothing'}, but no {key!r}")
        array = file.array(key)
        rows = array.rows if count is None else min(count, array.rows)
        file.check_size([(array, rows)])
        return array.read(rows)


def _check_input(path: Path, key: str, array: StoredArray, item: Input | Port) -> None:
    """Raise unless an array's header is that of samples for an input."""
    dtype, shape = array.header.dtype, array.header.shape
    if isinstance(item, Port) and np.dtype(item.dtype).kind in "iu":
        if dtype.kind not in "iu":
            raise HwquantError(f"{path}: {key} has dtype {dtype}; give integers, such as {item.dtype}")
    elif dtype.newbyteorder("=") not in DTYPES:
        raise HwquantError(f"{path}: {key} has dtype {dtype}; give float32, float64, int8 or uint8")
    if not shape or shape[1:] != item.shape or shape[0] == 0:
        wanted = ", ".join(map(str, ("N", *item.shape)))
        raise HwquantError(
            f"{path}: {key} has shape {shape}, the network's input {item.name!r} needs ({wanted}) with N >= 1"
        )


def _check_finite(path: Path, key: str, x: NDArray[Any]) -> None:
    finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
    if not finite.all():
        raise HwquantError(f"{path}: sample {int(finite.argmin())} of {key} holds NaN or infinity; remove it")


def _check_labels(path: Path, array: StoredArray, count: int) -> None:
    dtype, shape = array.header.dtype, array.header.shape
    if dtype.kind not in "iu":
        hint = ", as y.argmax(axis=1) makes of one-hot ones" if len(shape) == 2 else ""
        raise HwquantError(f"{path}: y has dtype {dtype}; labels must be integers{hint}")
    if shape != (count,):
        raise HwquantError(f"{path}: y has shape {shape}; {count} samples need labels of shape ({count},)")


def _labels(path: Path, y: NDArray[Any]) -> NDArray[np.int64]:
    if y.min() < 0:
        raise HwquantError(f"{path}: y holds the label {y.min()}; labels count from 0")
    if y.max() > np.iinfo(np.int64).max:
        raise HwquantError(f"{path}: y holds the label {y.max()}; labels count from 0")
    return y.astype(np.int64)
