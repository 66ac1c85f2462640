"""What a network is to its user: how arrays become the first tensors, and the last tensors arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.ends import Ends, Port
from hwquant.errors import HwquantError


def as_array(name: str, value: object) -> NDArray[Any]:
    """Make an array of an input's data as its user has them: an array, numbers in lists, or a tensor of PyTorch's.

    Parameters
    ----------
    name : str
        Name of the input, for the message.
    value : object
        The data.

    Raises
    ------
    HwquantError
        The data are no array of numbers.
    """
    detach = getattr(value, "detach", None)
    try:
        return np.asarray(value if detach is None else detach())
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise HwquantError(f"input {name!r} is no array of numbers: {reason}") from error


@dataclass(frozen=True, eq=False)
class Input:
    """A network input, and how the user's array becomes the tensor that the first layer reads.

    The user's array of ``shape`` (without batch) is scaled elementwise, ``x * scale + shift`` (each
    broadcastable to ``shape``), then its elements are reordered:
    ``tensor.ravel() == (x * scale + shift).ravel()[order]``.

    Attributes
    ----------
    name : str
        Name of the input, and of its tensor.
    shape : tuple of int
        Shape of the user's array, without the batch dimension.
    tensor_shape : tuple of int
        Channels, height and width of the tensor.
    scale : ndarray of float64, default 1
        What each element is multiplied by: preprocessing that was folded out of the network.
    shift : ndarray of float64, default 0
        What is then added to each element.
    order : ndarray of int64, shape (elements,), optional
        The user's elements in the order of the tensor; None leaves the order as it is.
    state : str, optional
        Name of the output whose array of the call before the input takes; None where the user gives the array.
    """

    name: str
    shape: tuple[int, ...]
    tensor_shape: tuple[int, int, int]
    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(()))
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(()))
    order: NDArray[np.int64] | None = None
    state: str | None = None

    @property
    def as_it_is(self) -> bool:
        """Whether the tensor has the numbers of the user's array, in whatever order."""
        return bool((self.scale == 1).all() and (self.shift == 0).all())

    def prepare(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Turn the user's samples into tensors.

        Parameters
        ----------
        x : ndarray, shape (N, *shape)
            Samples of any real dtype.

        Returns
        -------
        ndarray of float64, shape (N, *tensor_shape)
            Scaled, shifted and reordered samples.

        Raises
        ------
        HwquantError
            The samples have another shape.
        """
        if x.shape[1:] != self.shape:
            wanted = ", ".join(map(str, ("N", *self.shape)))
            raise HwquantError(f"input {self.name!r} has shape ({wanted}), the data has {x.shape}")
        real = (x.astype(np.float64) * self.scale + self.shift).reshape(len(x), math.prod(self.shape))
        if self.order is not None:
            real = real[:, self.order]
        return real.reshape(len(x), *self.tensor_shape)


@dataclass(frozen=True, eq=False)
class Output:
    """A network output, and how its tensor becomes the user's array: ``user.ravel() == tensor.ravel()[order]``.

    Attributes
    ----------
    name : str
        Name of the output.
    tensor : str
        Name of the tensor that it delivers.
    shape : tuple of int
        Shape of the user's array before host functions, without the batch dimension.
    order : ndarray of int64, shape (elements,), optional
        The tensor's elements in the order of the user's array; None leaves the order as it is.
    host : tuple of {"softmax", "log_softmax", "argmax"}
        Functions that stay on the host, in order; they are over the first axis of ``shape``.
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    order: NDArray[np.int64] | None = None
    host: tuple[str, ...] = ()

    def deliver(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn tensors (N, C, H, W) into the user's arrays (N, *shape); host functions are not applied."""
        flat = x.reshape(len(x), math.prod(x.shape[1:]))
        return (flat if self.order is None else flat[:, self.order]).reshape(len(x), *self.shape)


def check_states(inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
    """Raise unless every state has an output of its shape, and an input is left for data.

    Raises
    ------
    HwquantError
        There is no such output, it has another shape or a function of the host's behind it, or all inputs are states.
    """
    by_name = {item.name: item for item in outputs}
    for item in inputs:
        if item.state is None:
            continue
        output = by_name.get(item.state)
        if output is None:
            raise HwquantError(f"the state {item.name!r} takes output {item.state!r}, which there is not")
        if output.shape != item.shape:
            raise HwquantError(
                f"the state {item.name!r} has the shape {item.shape}, its output {output.name!r} {output.shape}"
            )
        if output.host:
            raise HwquantError(
                f"output {output.name!r} ends in {output.host[-1]}, so that input {item.name!r} cannot take it"
            )
    if inputs and all(item.state is not None for item in inputs):
        raise HwquantError("all inputs are states; one is needed that data is given for")


class Whole:
    """What a network is to its user, with the ends that stay with the host."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    host: Ends | None

    @property
    def host_share(self) -> float:
        """Share of the whole network's multiply-accumulates that stays with the host, 0..1."""
        return 0.0 if self.host is None else self.host.share

    @property
    def network_inputs(self) -> tuple[Input | Port, ...]:
        """What the user of the whole network gives: inputs of the host's part, where there is one."""
        return self.inputs if self.host is None else self.host.inputs

    @property
    def given_inputs(self) -> tuple[Input | Port, ...]:
        """Those of ``network_inputs`` that data has arrays for: all but the states."""
        states = {item.name for item in self.inputs if item.state is not None}
        return tuple(item for item in self.network_inputs if item.name not in states)

    @property
    def network_outputs(self) -> tuple[str, ...]:
        """Names of what the user of the whole network gets, in order."""
        return tuple(item.name for item in self.outputs) if self.host is None else self.host.outputs
