"""Modules and exported programs of torch, as plain data."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import HwquantError, Unsupported, first_line
from hwquant.frontends.aten_program import EFFECTS, AtenInput, AtenNode, AtenProgram, Reference
from hwquant.frontends.aten_types import NAMES
from hwquant.frontends.values import Array
from hwquant.packages import load_package

if TYPE_CHECKING:
    import torch


def export(module: torch.nn.Module, example_input: Any) -> torch.export.ExportedProgram:
    """Trace a module in evaluation mode with ``torch.export``; the module is left as it was.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    example_input : Any
        A tensor, an array, or a tuple of them, batch dimension first.

    Returns
    -------
    torch.export.ExportedProgram
        The program.

    Raises
    ------
    HwquantError
        If it is no module, or torch.export cannot trace it.
    """
    load_package("torch", "torch", "torch", "reading a torch.nn.Module")
    import torch

    if not isinstance(module, torch.nn.Module):
        raise HwquantError(f"a torch.nn.Module is wanted, this is a {type(module).__name__}")
    example = example_of(example_input)
    with in_evaluation_mode(module), quiet("torch._subclasses.fake_tensor", logging.CRITICAL):
        try:
            return torch.export.export(module, example, strict=False)
        except Exception as error:  # torch.export and the module's own code raise anything
            raise HwquantError(
                f"torch.export cannot trace {type(module).__name__}: {first_line(error)}; "
                "make torch.export.export(module, (example,)) work first"
            ) from error


def example_of(example_input: Any) -> tuple[torch.Tensor, ...]:
    """The tensors of an example: a tensor, an array, or a tuple of them."""
    import torch

    inputs = example_input if isinstance(example_input, tuple | list) else (example_input,)
    return tuple(_tensor(torch, item) for item in inputs)


@contextlib.contextmanager
def quiet(logger: str, level: int) -> Iterator[None]:
    """Do something without what a logger of torch says below a level: tracebacks of errors that are raised as well."""
    chosen = logging.getLogger(logger)
    before = chosen.level
    chosen.setLevel(level)
    try:
        yield
    finally:
        chosen.setLevel(before)


@contextlib.contextmanager
def in_evaluation_mode(module: torch.nn.Module) -> Iterator[None]:
    """Do something with a module in evaluation mode, without gradients; its parts are in their own modes after it."""
    import torch

    modes = {part: part.training for part in module.modules()}
    try:
        # Exported modules have no such mode: training is in their graph, and refused.
        with contextlib.suppress(NotImplementedError):
            module.eval()
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training


def read_exported(exported: torch.export.ExportedProgram) -> AtenProgram:
    """Turn an exported program into plain data."""
    signature = exported.graph_signature
    for spec in signature.output_specs:
        if effect := EFFECTS.get(spec.kind.name.lower()):
            raise Unsupported(f"{_title(exported)} cannot be imported: {effect}")
    tensors = {**exported.state_dict, **exported.constants}
    targets = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    inputs: list[AtenInput] = []
    constants: dict[str, Array] = {}
    types: dict[str, str] = {}
    nodes: list[AtenNode] = []
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name in targets:
            label = targets[node.name]
            constants[node.name], dtype = _array(tensors[label], label)
            if dtype == "bfloat16":
                types[node.name] = dtype
        elif node.op == "placeholder" and node.name in signature.user_inputs:
            value = node.meta.get("val")
            if not hasattr(value, "shape"):
                raise Unsupported(f"input {node.name!r} is not a tensor; only tensors can be inputs")
            shape = tuple(size if isinstance(size, int) else None for size in value.shape)
            inputs.append(AtenInput(node.name, shape, str(value.dtype).removeprefix("torch.")))
        elif node.op == "call_function" and node.target is not operator.getitem:
            nodes.append(_node(node))
        elif node.op not in ("placeholder", "output", "call_function"):
            raise Unsupported(
                f"node {node.name!r} ({node.op} {node.target}) of the program is not supported; give "
                "program.run_decompositions(), and leave control flow out of forward()"
            )
    outputs = tuple(str(name) for name in signature.user_outputs)
    return AtenProgram(_title(exported), tuple(inputs), constants, tuple(nodes), outputs, targets, types)


def _title(exported: Any) -> str:
    for node in exported.graph.nodes:
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            if path == "":
                return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    return "torch module"


def _tensor(torch: Any, item: Any) -> torch.Tensor:
    if isinstance(item, torch.Tensor):
        return item
    array = np.asarray(item)
    return torch.as_tensor(array.astype(np.float32) if array.dtype.kind == "f" else array)


def _array(tensor: Any, label: str) -> tuple[Array, str]:
    """A tensor as a numpy copy, and torch's name of its type; bfloat16, which numpy lacks, as float32."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in NAMES or str(tensor.layout) != "torch.strided" or tensor.device.type == "meta":
        raise Unsupported(
            f"tensor {label!r} is {dtype}, {str(tensor.layout).removeprefix('torch.')}, on "
            f"{tensor.device.type}; only dense tensors of real numbers are supported"
        )
    tensor = tensor.detach().cpu()
    array: Array = (tensor.float() if dtype == "bfloat16" else tensor).numpy().copy()
    return array, dtype


def _node(node: Any) -> AtenNode:
    namespace, name, overload = _operator(node.target)
    outputs: list[str | None] = [node.name]
    reads = [user for user in node.users if user.target is operator.getitem]
    if reads:
        outputs = [None] * (1 + max(user.args[1] for user in reads))
        for user in reads:
            outputs[user.args[1]] = user.name
    stack = [entry for entry in (node.meta.get("nn_module_stack") or {}).values() if entry[0] != HOOK]
    path, part = stack[-1] if stack else ("", "")
    part = part if isinstance(part, str) else f"{part.__module__}.{part.__qualname__}"
    target = name if namespace == "aten" else f"{namespace}.{name}"
    return AtenNode(node.name, target, _arguments(node), tuple(outputs), overload, path, part)


HOOK = "_empty_nn_module_stack_from_metadata_hook"
"""What torch.export notes as the place of nodes that come from no place in the module."""


def _operator(target: Any) -> tuple[str, str, str]:
    """The namespace, name and overload of an operator: ("aten", "add", "Tensor").

    It is ("_operator", "mul", "") for arithmetic on sizes.
    """
    if hasattr(target, "_schema"):
        namespace, _, name = target._schema.name.partition("::")
        return namespace, name, target._schema.overload_name or "default"
    return getattr(target, "__module__", "python"), getattr(target, "__name__", str(target)), ""


def _arguments(node: Any) -> Mapping[str, Any]:
    """The arguments of a node by the names of the schema."""
    if hasattr(node.target, "_schema"):
        names: Sequence[str] = [argument.name for argument in node.target._schema.arguments]
    else:
        names = "ab"
    return {
        **{name: _plain(argument) for name, argument in zip(names, node.args)},
        **{name: _plain(argument) for name, argument in node.kwargs.items()},
    }


def _plain(argument: Any) -> Any:
    """An argument without torch's types."""
    if argument is None or isinstance(argument, bool | int | float | str):
        return argument
    if isinstance(argument, list | tuple):
        return [_plain(item) for item in argument]
    if hasattr(argument, "op") and hasattr(argument, "name"):  # another node of the program
        return Reference(argument.name)
    return str(argument).removeprefix("torch.")  # a dtype, layout, device or memory format
