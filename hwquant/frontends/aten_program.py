"""Programs of ATen operators, what ``torch.export`` makes of a module, as plain data.

`torch_export` gets such a program from torch, `pt2` from a file without torch; `aten` translates it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwquant.frontends.values import Array


@dataclass(frozen=True)
class Reference:
    """An argument that is a tensor or a symbolic number of the program.

    Attributes
    ----------
    name : str
        Its name in the program.
    """

    name: str


@dataclass(frozen=True)
class AtenInput:
    """An input of a program.

    Attributes
    ----------
    name : str
        Its name in the program.
    shape : tuple of int or None
        Its shape, with None for an open dimension.
    dtype : str
        Its element type, as torch names it without "torch.".
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class AtenNode:
    """One operator call.

    Attributes
    ----------
    name : str
        The node's name in the program.
    operator : str
        The operator: "conv2d", without namespace ("aten") and overload; with its namespace for any other.
    arguments : mapping
        The arguments by the names of the operator's schema: numbers, strings, `Reference`, None, and lists of them.
    outputs : tuple of str or None
        Names of its results; None for one that nobody reads.
    overload : str, default "default"
        The overload: "Tensor" of "add.Tensor".
    path : str, default ""
        Name of the module's part that it came from, such as "features.0"; "" for the module itself.
    part : str, default ""
        The class of that part, "torch.nn.modules.conv.Conv2d".
    positional : tuple of str, default ()
        The arguments that were passed by their position.
    """

    name: str
    operator: str
    arguments: Mapping[str, Any]
    outputs: tuple[str | None, ...]
    overload: str = "default"
    path: str = ""
    part: str = ""
    positional: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name for the graph's node: a layer's own name, else the operator's with its place before it."""
        if self.part.startswith("torch.nn.modules.") and self.path:
            return self.path
        return f"{self.path}.{self.name}" if self.path else self.name


@dataclass(frozen=True, eq=False)
class AtenProgram:
    """A whole program.

    Attributes
    ----------
    name : str
        Name of the network.
    inputs : tuple of AtenInput
        The inputs, in order.
    constants : mapping of ndarray
        Every parameter, buffer and constant by its name in the program.
    nodes : tuple of AtenNode
        The operator calls, in order.
    outputs : tuple of str
        Names of the results.
    labels : mapping of str to str, optional
        The names of the constants in the module, such as "features.0.weight".
    types : mapping of str to str, optional
        Element types of the constants that numpy lacks ("bfloat16"); their arrays are float32.
    """

    name: str
    inputs: tuple[AtenInput, ...]
    constants: Mapping[str, Array]
    nodes: tuple[AtenNode, ...]
    outputs: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)


EFFECTS: Mapping[str, str] = {
    "buffer_mutation": "it changes a buffer with every call, and hwquant computes all samples alike; export the "
    "module after .eval(), and keep what it remembers out of forward()",
    "gradient_to_parameter": "it computes gradients; export the module for inference",
    "gradient_to_user_input": "it computes gradients; export the module for inference",
    "loss_output": "it computes a loss; export the module for inference",
    "parameter_mutation": "it changes a parameter with every call; export the module for inference",
    "token": "it has effects besides its results; leave prints and custom operators out of forward()",
}
"""Why a program is refused for what else it gives; what it writes into the caller's input does not matter here."""


def references(argument: Any) -> Iterator[str]:
    """The names that an argument, or a mapping or list of them, refers to."""
    if isinstance(argument, Reference):
        yield argument.name
    elif isinstance(argument, Mapping | list | tuple):
        for item in argument.values() if isinstance(argument, Mapping) else argument:
            yield from references(item)
