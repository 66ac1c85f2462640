"""A model whose beginning or end the array cannot do: the largest part that it can, the rest for the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends.batch import BatchAxis, BatchMatters
from hwquant.frontends.onnx_batch import fixed
from hwquant.frontends.onnx_borders import with_real_borders
from hwquant.frontends.onnx_branches import decided
from hwquant.frontends.onnx_check import checked, node_name
from hwquant.frontends.onnx_division import Division
from hwquant.frontends.onnx_ends import ends
from hwquant.frontends.onnx_reader import read_whole
from hwquant.frontends.refusals import NotFinite
from hwquant.graph import Graph
from hwquant.printable import first_of

if TYPE_CHECKING:
    import onnx

MOST_LOST = 0.25
"""Share of the multiply-accumulates that the array could do and a cut may leave to the host unasked."""


@dataclass(frozen=True)
class Cut:
    """Where a network may be cut.

    Attributes
    ----------
    inputs : tuple of str, default empty
        Tensors that the array's part begins with, by name; empty where that is found.
    outputs : tuple of str, default empty
        Tensors that it ends with; empty where that is found.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def read_cut(model: onnx.ModelProto, name: str, cut: Cut, batch_axis: BatchAxis = 0) -> Graph:
    """Read a model; what the array cannot do at its beginning and its end stays with the host.

    Parameters
    ----------
    model : onnx.ModelProto
        The model.
    name : str
        What messages call it.
    cut : Cut
        Where to cut it.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.

    Returns
    -------
    Graph
        The array's part, with the ends in ``host``; the whole network where the array can do all of it.

    Raises
    ------
    HwquantError
        It is no valid ONNX model; nothing is left for the array, or it would be in several parts.
    """
    named = bool(cut.inputs or cut.outputs)
    refusal = None
    if not named:
        try:
            return read_whole(model, name, batch_axis)
        except (BatchMatters, NotFinite):
            raise
        except Unsupported as error:
            refusal = error
    model, batch = fixed(checked(model, name, batch_axis, whole=False), batch_axis)
    model = with_real_borders(decided(model))
    with np.errstate(all="ignore"):  # what is not finite is refused by name
        division = Division(model, name, batch, cut.inputs, cut.outputs)
        graph = division.divide()
    if graph is None:
        raise refusal or _nothing(division)
    if named:
        _check_named(division, cut)
    else:
        _check_lost(division)
    return replace(graph, host=ends(division))


def _nothing(division: Division) -> Unsupported:
    labels = _labels(division, division.refused)
    return Unsupported(
        f"nothing of network {division.name!r} is left for the array between the tensors: {labels}"
    )


def _check_named(division: Division, cut: Cut) -> None:
    """Raise unless the array's part has the borders that the user names."""
    missing = [item for item in cut.outputs if item not in division.end]
    missing += [item for item in cut.inputs if item not in division.begin]
    if missing:
        raise Unsupported(
            f"network {division.name!r} cannot be cut at {missing[0]!r}: the array's part would be from "
            f"{', '.join(division.begin)} to {', '.join(division.end)} because of "
            f"{_labels(division, division.refused) or 'the other names'}",
            where=missing[0],
        )
    more = [item for item in division.begin if cut.inputs and item not in cut.inputs]
    if more:
        raise Unsupported(
            f"the part of network {division.name!r} that ends with {', '.join(division.end)} also reads {more[0]!r}; "
            "name it among the inputs of the cut",
            where=more[0],
        )


def _check_lost(division: Division) -> None:
    """Raise where much that the array could do is behind something that it cannot."""
    total = sum(division.macs.values())
    lost = [index for index in division.lost if division.macs[index]]
    share = sum(division.macs[index] for index in lost) / total
    if share <= MOST_LOST:
        return
    kept = sum(division.macs[index] for index in division.on_array) / total
    first = division.between(lost)
    raise Unsupported(
        f"network {division.name!r} would be on the array in several parts, with the host between them, which is not "
        f"supported: the largest has {kept:.1%} of the multiply-accumulates, and {share:.1%} that the array could do "
        f"would be lost to the host ({_labels(division, lost, reasons=False)}) because of "
        f"{_labels(division, first)}; name the tensors to cut at (--inputs, --outputs), or "
        f"train without these operators",
        where=f"node {node_name(division.nodes[first[0]])!r}" if first else "",
        operator=division.nodes[first[0]].op_type if first else "",
    )


def _labels(division: Division, indices: Sequence[int], reasons: bool = True) -> str:
    """Nodes as messages name them, the first ones, with the reason of the first."""
    names = [f"{node_name(division.nodes[i])!r} ({division.nodes[i].op_type})" for i in indices]
    reason = f" (the first: {division.why(indices[0])})" if reasons and indices else ""
    return f"{first_of(names)}{reason}"
