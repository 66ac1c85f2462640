"""Models in memory become a `Graph`: ONNX, modules of torch and Brevitas, ``torch.export`` programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from hwquant.errors import HwquantError, Unsupported
from hwquant.frontends.aten import translate
from hwquant.frontends.aten_program import AtenProgram
from hwquant.frontends.batch import BatchAxis, Shapes
from hwquant.frontends.brevitas_onnx import brevitas_as_onnx, is_brevitas
from hwquant.frontends.onnx_cut import Cut, read_cut
from hwquant.frontends.onnx_reader import read_onnx
from hwquant.frontends.torch_export import export, read_exported
from hwquant.frontends.torch_onnx import as_onnx
from hwquant.graph import Graph

if TYPE_CHECKING:
    import onnx
    import torch


def from_onnx(
    model: str | Path | onnx.ModelProto,
    *,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    host: bool = True,
) -> Graph:
    """Read a float network from an ONNX file or a ModelProto (operator sets 1 to the newest).

    Parameters
    ----------
    model : str, Path or onnx.ModelProto
        The file, or the model with its data inside.
    shapes : mapping of sequence of int, optional
        Whole shapes of inputs with open dimensions by name, as for :func:`load_model`.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.
    inputs, outputs : sequence of str, optional
        Tensors by name that the array's part begins and ends with; by default its part is the largest.
    host : bool, default True
        Whether the host may do what the array cannot do at the beginning and the end; else that is refused.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        For what is not an ONNX model, and for what is not supported, by node and operator.
    """
    if not host:
        if inputs or outputs:
            raise HwquantError("inputs and outputs of a cut are given, and no host that does the rest")
        return read_onnx(model, shapes, batch_axis)
    cut = Cut(tuple(inputs), tuple(outputs))
    return read_onnx(model, shapes, batch_axis, lambda loaded, name: read_cut(loaded, name, cut, batch_axis))


def from_torch(
    module: torch.nn.Module,
    example_input: Any,
    *,
    batch_axis: BatchAxis = 0,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    host: bool = True,
) -> Graph:
    """Read a float network from a module, traced by ``torch.export`` in evaluation mode.

    A module with quantizers of Brevitas is read by :func:`from_brevitas`.

    Parameters
    ----------
    module : torch.nn.Module
        The module, which is left as it is, its training mode included.
    example_input : Any
        A tensor or array (N, ...), or a tuple of them for several inputs.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.
    inputs, outputs : sequence of str, optional
        Tensors that the array's part begins and ends with, by name in the ONNX model that torch makes of it.
    host : bool, default True
        Whether the host may do what the array cannot do at the beginning and the end; else that is refused.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        If torch.export cannot trace it, and for what is not supported, by node and operator.
    """
    if is_brevitas(module):
        return from_brevitas(
            module, example_input, batch_axis=batch_axis, inputs=inputs, outputs=outputs, host=host
        )
    program = export(module, example_input)
    return from_exported(program, batch_axis=batch_axis, inputs=inputs, outputs=outputs, host=host)


def from_brevitas(
    module: torch.nn.Module,
    example_input: Any,
    *,
    batch_axis: BatchAxis = 0,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    host: bool = True,
) -> Graph:
    """Read a network with its integers from a module that was trained with Brevitas, by way of QONNX.

    Parameters
    ----------
    module : torch.nn.Module
        The module, which is left as it is, its training mode included.
    example_input : Any
        A tensor or array (N, ...), or a tuple of them for several inputs.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.
    inputs, outputs : sequence of str, optional
        Tensors that the array's part begins and ends with, by name in the model that Brevitas makes of it.
    host : bool, default True
        Whether the host may do what the array cannot do at the beginning and the end; else that is refused.

    Returns
    -------
    Graph
        The network, with what the module says of its integers (``Graph.given``).

    Raises
    ------
    HwquantError
        If Brevitas cannot export it, and for what is not supported, by node and operator.
    """
    model = brevitas_as_onnx(module, example_input)
    return from_onnx(model, batch_axis=batch_axis, inputs=inputs, outputs=outputs, host=host)


def from_exported(
    program: torch.export.ExportedProgram,
    *,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    host: bool = True,
) -> Graph:
    """Read a float network from ``torch.export.export``'s program, decomposed or not.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        The program.
    shapes : mapping of sequence of int, optional
        Whole shapes of inputs with open dimensions by name, as for :func:`load_model`.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.
    inputs, outputs : sequence of str, optional
        Tensors that the array's part begins and ends with, by name in the ONNX model that torch makes of it.
    host : bool, default True
        Whether the host may do what the array cannot do at the beginning and the end; else that is refused.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        For what is not supported, by node, place in the module and operator.
    """
    cut: Reading = {
        "shapes": shapes,
        "batch_axis": batch_axis,
        "inputs": inputs,
        "outputs": outputs,
        "host": host,
    }
    return translated(lambda: read_exported(program), lambda refusal: program, cut)


class Reading(TypedDict):
    """What says how a model is read, by the names of `from_onnx`."""

    shapes: Shapes | None
    batch_axis: BatchAxis
    inputs: Sequence[str]
    outputs: Sequence[str]
    host: bool


def translated(
    plain: Callable[[], AtenProgram],
    exported: Callable[[Unsupported], torch.export.ExportedProgram],
    cut: Reading,
) -> Graph:
    """Translate a program as it is where the array can do all of it, else by way of ONNX, which is cut.

    Parameters
    ----------
    plain : callable
        Gives the program as plain data.
    exported : callable
        Gives it as torch has it, or raises with the refusal that it is given.
    cut : Reading
        How it is read.

    Returns
    -------
    Graph
        The network.
    """
    refusal = Unsupported("a cut is asked for by the names of tensors")
    named = bool(cut["inputs"] or cut["outputs"])
    if not named:
        try:
            return translate(plain(), cut["shapes"], cut["batch_axis"])
        except Unsupported as error:
            if not cut["host"]:
                raise
            refusal = error
    model = as_onnx(exported(refusal), refusal)
    try:
        return from_onnx(model, **cut)
    except Unsupported as error:
        if named:
            raise
        message = f"{refusal}. As an ONNX model: {error}"
        raise Unsupported(message, where=refusal.where, operator=refusal.operator) from error
