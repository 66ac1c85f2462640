"""``--shape``, ``--batch-axis`` and ``--state``: how the inputs of a float network are read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from hwquant.cli.outcome import note
from hwquant.errors import HwquantError

if TYPE_CHECKING:
    from hwquant.frontends.batch import BatchAxis
    from hwquant.graph import Graph
    from hwquant.qgraph import QGraph


@dataclass(frozen=True)
class Reading:
    """What a user says of a model's inputs.

    Attributes
    ----------
    shapes : mapping of tuple of int, default empty
        Whole shapes of inputs with open dimensions, by name.
    batch_axis : {0, None}, default 0
        Where the batch dimension is.
    states : tuple of str, default empty
        ``OUTPUT=INPUT`` for each state, or "auto" to find them.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch_axis: BatchAxis = 0
    states: tuple[str, ...] = ()

    def load(self, path: str | Path, cut: Mapping[str, Any] = MappingProxyType({})) -> Graph:
        """Load a float network (.onnx, .pt2); ``cut`` has keywords of ``load_model`` for the host's part."""
        from hwquant.frontends import load_model

        return self.with_states(load_model(path, shapes=self.shapes, batch_axis=self.batch_axis, **cut))

    def read_back(self, path: Path) -> QGraph | None:
        """Load an integer network that was exported; None where a file is none."""
        from hwquant import frontends

        qgraph = frontends.read_back(path)
        if qgraph is not None:
            self.check_unused(str(path))
        return qgraph

    def with_states(self, graph: Graph) -> Graph:
        """Make states of a network's inputs, and say which where they were found by their names."""
        from hwquant.states import AUTO, find_states, with_states

        pairs: dict[str, str] = {}
        if AUTO in self.states:
            pairs = find_states(graph)
            shown = ", ".join(f"{output}={name}" for output, name in pairs.items()) or "none"
            note(f"states found: {shown}")
        for text in self.states:
            output, equals, name = text.partition("=")
            if text != AUTO and not (equals and output and name):
                raise HwquantError(f"--state {text!r} is not OUTPUT=INPUT, nor {AUTO}")
            if text != AUTO:
                pairs[output] = name
        return with_states(graph, pairs) if pairs else graph

    def check_unused(self, what: str) -> None:
        """Raise where something is said of a network that has all of it fixed."""
        said = {"--shape": self.shapes, "--batch-axis": self.batch_axis is None, "--state": self.states}
        for flag in (flag for flag, value in said.items() if value):
            raise HwquantError(
                f"{flag} is for .onnx and .pt2 files; {what} has all of it already: leave it out"
            )


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--shape`` and ``--batch-axis`` to a command, which gets them as ``reading``."""

    @functools.wraps(command)
    def with_reading(
        *arguments: Any, shape: tuple[str, ...], batch_axis: str, state: tuple[str, ...], **values: Any
    ) -> Any:
        reading = Reading(_shapes(shape), 0 if batch_axis == "0" else None, state)
        return command(*arguments, reading=reading, **values)

    decorated: Callable[..., Any] = with_reading
    axis = click.option(
        "--batch-axis",
        type=click.Choice(["0", "none"]),
        default="0",
        show_default=True,
        help="none: the model has no batch dimension; its first axis is time, say, and an input is one sample.",
    )
    shapes = click.option(
        "--shape",
        multiple=True,
        metavar="NAME=N,...",
        help="The shape of an input of MODEL with open dimensions, batch included: x=1,3,48,192. Repeatable.",
    )
    states = click.option(
        "--state",
        multiple=True,
        metavar="OUTPUT=INPUT",
        help="An input that takes what an output gave in the call before: samples are calls one after the other, and "
        "need no array for it. Repeatable; auto finds them by names and shapes.",
    )
    return shapes(axis(states(decorated)))


def _shapes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Read ``NAME=N,...`` texts."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, numbers = text.rpartition("=")
        sizes = numbers.split(",")
        if (
            not equals
            or not name
            or not all(size.strip().isascii() and size.strip().isdigit() for size in sizes)
        ):
            raise HwquantError(f"--shape {text!r} is not NAME=N,..., such as x=1,3,48,192")
        if name in shapes:
            raise HwquantError(f"--shape gives input {name!r} two shapes; leave one out")
        if max(len(size.strip()) for size in sizes) > 9:
            raise HwquantError(f"--shape {text!r} is larger than any chip; give smaller numbers")
        shapes[name] = tuple(int(size) for size in sizes)
    return shapes
