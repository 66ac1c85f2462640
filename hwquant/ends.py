"""The two ends of a network that stay with the host, and what its user gives and gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

End = Literal["head", "tail"]
"""The part of a network before the array, and the one after it."""


@dataclass(frozen=True)
class Port:
    """An input of the whole network, as its user gives it.

    Attributes
    ----------
    name : str
        Name of the input.
    shape : tuple of int
        Shape of one sample's array; the user's array is (N, *shape).
    dtype : str
        What the network computes with, as numpy calls it ("float32", "int64").
    batched : bool, default True
        Whether the first axis of the model's tensor counts samples; else it is all one sample, such as a state.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    batched: bool = True


@dataclass(frozen=True)
class HostNode:
    """An operator that the host computes.

    Attributes
    ----------
    name : str
        Name of the node.
    operator : str
        What it computes, as ONNX calls it.
    end : {"head", "tail"}
        Where it is.
    macs : int
        Its multiply-accumulates.
    reason : str
        Why the array does not do it; empty where it could, and what is before or after it could not.
    """

    name: str
    operator: str
    end: End
    macs: int
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Ends:
    """What of a network stays with the host.

    The tensors between the parts go by their names in the model: the head computes inputs of the array, the tail
    reads the array's outputs, and either may read the user's inputs.

    Attributes
    ----------
    inputs : tuple of Port
        What the user gives.
    outputs : tuple of str
        Names of what the user gets, in order: tensors of the array, of the head or of the tail.
    batch : int
        Samples that the ends compute at once; the last ones are filled up. 0 where the model has no batch dimension,
        so that all of every tensor is one sample's.
    nodes : tuple of HostNode
        What the host computes.
    macs : int
        Multiply-accumulates of the whole network, for one sample.
    head : bytes, default empty
        What comes before the array, an ONNX model; empty where there is nothing.
    tail : bytes, default empty
        What comes after it.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    batch: int
    nodes: tuple[HostNode, ...]
    macs: int
    head: bytes = b""
    tail: bytes = b""

    @property
    def share(self) -> float:
        """Share of the multiply-accumulates that the host does, 0..1."""
        return sum(node.macs for node in self.nodes) / self.macs if self.macs else 0.0

    @property
    def parts(self) -> tuple[tuple[End, bytes], ...]:
        """The ends that there are."""
        both: tuple[tuple[End, bytes], ...] = (("head", self.head), ("tail", self.tail))
        return tuple(part for part in both if part[1])
