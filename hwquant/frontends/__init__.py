"""Trained networks in: ONNX and TensorFlow Lite files, torch modules and ``torch.export`` programs become a `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from hwquant import hwq
from hwquant.errors import HwquantError, Unsupported
from hwquant.export.embedded import embedded, is_embedded
from hwquant.files.reading import open_ordinary
from hwquant.frontends.aten import translate
from hwquant.frontends.aten_program import AtenProgram
from hwquant.frontends.batch import BatchAxis, Shapes
from hwquant.frontends.brevitas_onnx import brevitas_as_onnx, is_brevitas
from hwquant.frontends.onnx_cut import Cut, read_cut
from hwquant.frontends.onnx_file import load
from hwquant.frontends.onnx_reader import read_onnx
from hwquant.frontends.pt2 import read_pt2
from hwquant.frontends.tflite_file import IDENTIFIER
from hwquant.frontends.tflite_onnx import tflite_as_onnx, tflite_with_states
from hwquant.frontends.torch_export import export, read_exported
from hwquant.frontends.torch_onnx import as_onnx
from hwquant.frontends.torch_program import as_exported
from hwquant.graph import Graph
from hwquant.packages import load_package
from hwquant.qgraph import QGraph
from hwquant.states import with_states

if TYPE_CHECKING:
    import onnx
    import torch

__all__ = [
    "as_onnx_model",
    "from_brevitas",
    "from_exported",
    "from_onnx",
    "from_torch",
    "load_model",
    "load_network",
    "read_back",
]


def load_model(
    path: str | Path,
    *,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
    states: Mapping[str, str] | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    host: bool = True,
) -> Graph:
    """Read a float network from a file: ONNX, ``torch.export.save``'s .pt2, or TensorFlow Lite.

    TensorFlow Lite files say that they are; between the others the suffix decides, else the content. Nothing in the
    file is executed or unpickled. What the array cannot do at the beginning and the end stays with the host
    (``Graph.host``).

    Parameters
    ----------
    path : str or Path
        The file.
    shapes : mapping of sequence of int, optional
        Whole shapes, batch included, of inputs with open dimensions by name: ``{"x": (1, 3, 48, 192)}``. Open
        dimensions of one name have one size.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none, and are one sample each.
    states : mapping of str, optional
        The input that takes an output of the call before, by the output's name (see :mod:`hwquant.states`);
        variables of TensorFlow Lite files are states without it.
    inputs, outputs : sequence of str, optional
        Tensors by name that the array's part begins and ends with; by default its part is the largest.
    host : bool, default True
        Whether the host may do a part; else what the array cannot do is refused.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        If the file cannot be read, is damaged or of another kind, or holds something unsupported.
    """
    path = Path(path)
    kind = _kind(path)
    cut: _Cut = {
        "shapes": shapes,
        "batch_axis": batch_axis,
        "inputs": inputs,
        "outputs": outputs,
        "host": host,
    }
    if kind == ".pt2":
        program = read_pt2(path)
        graph = _translated(lambda: program, lambda refusal: as_exported(program, shapes or {}, refusal), cut)
    else:
        model, kept = tflite_with_states(path) if kind == ".tflite" else (path, {})
        graph = from_onnx(model, **cut)
        states = {**kept, **(states or {})}
    return with_states(graph, states) if states else graph


def load_network(path: str | Path) -> QGraph:
    """Read an integer network from a ``.hwq`` file, or from the ONNX model that one was exported to.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    QGraph
        The network.

    Raises
    ------
    Damaged
        The file is damaged, was changed since it was exported, or has numbers out of range.
    HwquantError
        The file is absent, of a newer version, or no network that hwquant exported.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        return hwq.load(path)
    qgraph = read_back(path)
    if qgraph is None:
        raise HwquantError(f"{str(path)!r} is no integer network that hwquant exported; quantize it")
    return qgraph


def read_back(path: str | Path) -> QGraph | None:
    """Read the integer network that a file was exported from; None where it is any other model.

    Raises
    ------
    HwquantError
        The file cannot be read, or was changed since it was exported.
    """
    path = Path(path)
    if _kind(path) != ".onnx":
        return None
    load_package("onnx", "onnx", "onnx", "reading ONNX models")
    model = load(path)
    return embedded(model, path.name) if is_embedded(model) else None


def as_onnx_model(source: str | Path | onnx.ModelProto) -> onnx.ModelProto:
    """Read a model as the ONNX model that the network is made of.

    Raises
    ------
    HwquantError
        The file cannot be read, is damaged, or can become no ONNX model.
    """
    if not isinstance(source, str | Path):
        return source
    load_package("onnx", "onnx", "onnx", "reading ONNX models")
    path = Path(source)
    kind = _kind(path)
    if kind == ".pt2":
        raise HwquantError(
            f"{str(path)!r} is a program of torch.export, which has no integers; give the quantized model"
        )
    return tflite_as_onnx(path) if kind == ".tflite" else load(path)


def _kind(path: Path) -> Literal[".onnx", ".pt2", ".tflite"]:
    """Which of the formats a file is of, by the suffix that is usual for it."""
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth"):
        raise HwquantError(
            f"{str(path)!r} is a pickle of PyTorch, which hwquant does not load; "
            "write torch.export.export(module.eval(), (example,)) with torch.export.save to a .pt2 file"
        )
    try:
        with open_ordinary(path) as file:
            head = file.read(8)
    except OSError as error:
        raise HwquantError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    if head[4:] == IDENTIFIER or suffix == ".tflite":
        return ".tflite"
    if suffix == ".pt2" or (suffix != ".onnx" and head[:4] == b"PK\x03\x04"):
        return ".pt2"
    return ".onnx"


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
    cut: _Cut = {
        "shapes": shapes,
        "batch_axis": batch_axis,
        "inputs": inputs,
        "outputs": outputs,
        "host": host,
    }
    return _translated(lambda: read_exported(program), lambda refusal: program, cut)


class _Cut(TypedDict):
    """What says how a model is read, by the names of `from_onnx`."""

    shapes: Shapes | None
    batch_axis: BatchAxis
    inputs: Sequence[str]
    outputs: Sequence[str]
    host: bool


def _translated(
    plain: Callable[[], AtenProgram],
    exported: Callable[[Unsupported], torch.export.ExportedProgram],
    cut: _Cut,
) -> Graph:
    """The network of a program: as it is where the array can do all of it, else by way of ONNX, which is cut."""
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
