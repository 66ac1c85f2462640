"""The layers on the array, a row of the report's table and a bar of its timeline each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from hwquant.build import Build
from hwquant.describe import describe, times
from hwquant.report import LayerReport


@dataclass(frozen=True)
class LayerPass:
    """A layer on the array, as the report shows it.

    Attributes
    ----------
    report : LayerReport
        The layer's numbers.
    operation : str
        What it computes, in words.
    inputs : tuple of str
        Shapes of the tensors that it reads, such as "8x16x16".
    output : str
        Shape of the tensor that it writes.
    bits : int or None
        Bits of a stored weight; None where it has no weights.
    activation_bits : tuple of int
        Bits of the widest input, and of the output.
    shift, offset, multiplier : tuple of int, or None
        The least and the greatest of the channels; None where there is none.
    start : int
        Cycle in which its first pixel enters, counted from the end of the input.
    busy : float
        Cycles that its useful multiply-accumulates would take with every multiplier busy.
    """

    report: LayerReport
    operation: str
    inputs: tuple[str, ...]
    output: str
    bits: int | None
    activation_bits: tuple[int, int]
    shift: tuple[int, int] | None
    offset: tuple[int, int] | None
    multiplier: tuple[int, int] | None
    start: int
    busy: float

    @property
    def end(self) -> int:
        """Cycle in which the next layer begins."""
        return self.start + self.report.cycles

    @property
    def ideal(self) -> int:
        """The report's ideal cycles, but no more than the actual ones: the layer before loads the first tile."""
        return min(self.report.ideal_cycles, self.report.cycles)


def passes(build: Build) -> tuple[LayerPass, ...]:
    """Describe the layers on the array of a build, in order of execution."""
    qgraph, report = build.qgraph, build.report
    described = {layer["name"]: layer for layer in describe(qgraph)["layers"]}
    area = report.rows * report.columns
    starts = accumulate((layer.cycles for layer in report.layers), initial=0)
    result = []
    for layer, start in zip(report.layers, starts):
        nodes = [described[name] for name in layer.covers]
        first, last = nodes[0], nodes[-1]
        result.append(
            LayerPass(
                report=layer,
                operation=", then ".join(node["operation"] for node in nodes),
                inputs=tuple(times(qgraph.tensors[name].shape) for name in first["inputs"]),
                output=times(last["shape"]),
                bits=first.get("bits"),
                activation_bits=(
                    max(qgraph.tensors[name].bits for name in first["inputs"]),
                    last["activation_bits"],
                ),
                shift=_range(first.get("shift")),
                offset=_range(first.get("offset")),
                multiplier=_range(first.get("multiplier")),
                start=start,
                busy=layer.useful_macs / area,
            )
        )
    return tuple(result)


def _range(values: list[Any] | None) -> tuple[int, int] | None:
    return (min(values), max(values)) if values else None
