"""A TensorFlow Lite file as an ONNX model, operator by operator.

Tensors that are quantized become QuantizeLinear and DequantizeLinear behind what makes them, and DequantizeLinear
behind what the file has; between them ONNX computes with real numbers. Inputs and outputs have the names and the layout
(images are N, H, W, C) that they have in the file; inputs that are integers there stay so, outputs are the real numbers
that they stand for, and so are inputs and outputs for what the file keeps from call to call.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwquant.frontends.alternatives import alternative
from hwquant.frontends.tflite_call import (
    TO_CHANNELS_LAST,
    Image,
    Made,
    Operator,
    State,
    Stored,
    TfliteCall,
    admitted,
    dequantized,
    parameters,
)
from hwquant.frontends.tflite_file import read_tflite
from hwquant.frontends.tflite_model import Operation, Tensor, TfliteFile, Variable
from hwquant.frontends.tflite_operators import OPERATORS
from hwquant.frontends.tflite_pointwise import BOUNDS, clipped, onnx_kind
from hwquant.frontends.tflite_writer import OPSET, OPSET_OF_4_BITS, Unwritable, Writer
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

_CODES = {"INT8": np.dtype(np.int8), "UINT8": np.dtype(np.uint8)}
"""Integers that activations may be."""

_REAL = frozenset({"FLOAT32", "INT8", "UINT8"})
"""Types of activations that stand for real numbers."""

CONVERTING = ("CAST", "DEQUANTIZE", "QUANTIZE")
"""Operators whose result has another type than what they read."""

STORED = ("DENSIFY", "DEQUANTIZE")
"""Operators that make a constant of a constant."""

SPARSE = ("DENSIFY", "FULLY_CONNECTED")
"""Operators that runtimes know sparse constants of; ours are dense since they were read."""

NEXT = "/next"
"""What the output with a variable's next value is called, behind the variable's name."""

TANH = 4
"""The value of the option FusedActivationFunction that is no clip."""

JOINS = ("CONCATENATION",)
"""Operators that move integers where all scales are the same, and else round them."""


def tflite_as_onnx(path: Path) -> onnx.ModelProto:
    """Read a TensorFlow Lite file as an ONNX model.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    onnx.ModelProto
        The model, called after the file.

    Raises
    ------
    HwquantError
        The file cannot be read, is damaged, or has what is not supported; the operator is named.
    """
    return tflite_with_states(path)[0]


def tflite_with_states(path: Path) -> tuple[onnx.ModelProto, Mapping[str, str]]:
    """Read a TensorFlow Lite file as an ONNX model, and what it keeps from call to call.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    model : onnx.ModelProto
        The model, called after the file.
    states : mapping of str
        The input that takes an output of the call before, by the output's name.

    Raises
    ------
    HwquantError
        As for :func:`tflite_as_onnx`.
    """
    load_package("onnx", "onnx", "onnx", "reading TensorFlow Lite files")
    translation = _Translation(read_tflite(path))
    return translation.model(), translation.states


class _Translation:
    """One pass over the operators of a file."""

    def __init__(self, file: TfliteFile) -> None:
        self.file, self.state = file, State()
        self.begun: dict[Variable, str] = {}
        self.states: dict[str, str] = {}
        arrays = [tensor.array for tensor in file.tensors if tensor.array is not None]
        narrow = any(tensor.kind == "INT4" for tensor in file.tensors)
        self.write = Writer(sum(array.nbytes for array in arrays), OPSET_OF_4_BITS if narrow else OPSET)
        for number, tensor in enumerate(file.tensors):
            if tensor.array is not None:
                self.state.stored[number] = Stored(tensor.array, tensor.kind, tensor.quantization)

    def model(self) -> onnx.ModelProto:
        """The whole file."""
        from onnx import helper

        inputs = [self.begin(number) for number in self.file.inputs]
        inputs += [self.kept(variable) for variable in self.file.variables]
        for operation in self.file.operations:
            call = TfliteCall(self.write, self.file, self.state, operation, operation.options)
            try:
                self.translate(call)
            except Unwritable as error:
                raise call.refuse(str(error)) from None
        following = [self.following(variable) for variable in self.file.variables]
        outputs = [self.write.described(self.ended(number)) for number in self.file.outputs]
        outputs += [self.write.described(name) for name in following]
        weights = list(self.write.initializers.values())
        graph = helper.make_graph(self.write.nodes, self.file.name, inputs, outputs, weights)
        domains = [helper.make_opsetid("", self.write.opset)]
        return helper.make_model(graph, opset_imports=domains, ir_version=10, producer_name="hwquant")

    def call(self, index: int) -> TfliteCall:
        """What messages about an input or an output of the file are made with."""
        operation = Operation(-1, "a network", False, (index,), (index,), "", {})
        return TfliteCall(self.write, self.file, self.state, operation, {})

    def begin(self, number: int) -> onnx.ValueInfoProto:
        """An input of the file."""
        tensor, call = self.file.tensors[number], self.call(number)
        if 0 in tensor.shape:
            raise call.refuse(f"its shape {tensor.shape} is empty")
        name = self.write.label = self.write.unique(tensor.name)
        if tensor.quantization is not None:
            check_codes(call, tensor)
        info = self.write.begin(name, onnx_kind(call, tensor.kind), tensor.shape)
        self.state.real[number] = name
        if tensor.quantization is not None:
            meaning = tensor.quantization
            self.state.real[number] = dequantized(self.write, name, meaning, 0, _CODES[tensor.kind])
        return info

    def kept(self, variable: Variable) -> onnx.ValueInfoProto:
        """An input for what a variable is before a call: real numbers, channels before places.

        No user gives them, and so the array keeps them as it reads and makes images.
        """
        tensor, call = self.file.tensors[variable.read], self.call(variable.read)
        if tensor.kind not in _REAL or (tensor.kind in _CODES) != (tensor.quantization is not None):
            raise call.refuse(f"variable {variable.name!r} is {tensor.kind}, and no real numbers")
        name = self.write.label = self.write.unique(variable.name)
        self.begun[variable] = name
        first, last = _moves(len(tensor.shape))
        info = self.write.begin(name, onnx_kind(call, "FLOAT32"), [tensor.shape[axis] for axis in first])
        if tensor.quantization is not None:
            check_codes(call, tensor)
            name = self.quantize(tensor, name)
        self.state.real[variable.read] = self.write.node("Transpose", name, perm=last)
        return info

    def following(self, variable: Variable) -> str:
        """The output with what a variable is after a call."""
        call = self.call(variable.assigned)
        if variable.assigned in self.state.stored or variable.assigned in self.state.blocks:
            raise call.refuse(f"variable {variable.name!r} becomes a constant, or blocks of an image")
        self.write.label = variable.name
        name = call.real(0)
        self.write.begun = len(self.write.nodes)
        first, _ = _moves(len(self.write.shape(name)))
        name = self.write.node("Transpose", name, perm=first)
        following = self.write.named(name, f"{variable.name}{NEXT}")
        self.states[following] = self.begun[variable]
        return following

    def translate(self, call: TfliteCall) -> None:
        """An operator."""
        operation = call.operation
        self.write.label = self.file.tensors[operation.outputs[0]].name
        self.write.begun = len(self.write.nodes)
        operator = None if operation.custom else OPERATORS.get(operation.kind)
        if operator is None:
            raise call.refuse(f"this operator is not supported; {alternative(operation.kind)}")
        if not operation.inputs:
            raise call.invalid("it has no inputs")
        admitted(call, operator)
        read = [number for number in operation.inputs if number >= 0]
        blocks = {self.state.blocks[number] for number in read if number in self.state.blocks}
        if blocks and (
            not operator.in_blocks or len(blocks) > 1 or operation.inputs[0] not in self.state.blocks
        ):
            raise call.refuse("it is not computed between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND")
        if blocks:
            self.state.blocks |= dict.fromkeys(operation.outputs, blocks.pop())
        if any(self.file.tensors[number].sparse for number in read) and operation.kind not in SPARSE:
            raise call.refuse(f"it reads a sparse constant; only {' and '.join(SPARSE)} can")
        if operation.kind in STORED and operation.inputs[0] in self.state.stored:
            self.stored(call)
            return
        self.state.asked.clear()
        made = operator.translate(call)
        more = [position for position in range(len(operation.inputs)) if position not in self.state.asked]
        if any(call.given(position) for position in more):
            raise call.invalid(f"it has {len(operation.inputs)} inputs, more than it takes")
        results: list[Made] = list(made) if isinstance(made, list) else [made]
        if len(results) != len(operation.outputs):
            raise call.invalid(f"it has {len(operation.outputs)} outputs, not {len(results)}")
        for number, result in zip(operation.outputs, results):
            self.finish(call, operator, number, result)

    def stored(self, call: TfliteCall) -> None:
        """A constant as float32, or as it is once it is dense: still one of the file for what reads it."""
        found = call.stored(0)
        (number,) = call.operation.outputs
        if call.operation.kind == "DENSIFY":
            tensor = self.file.tensors[call.operation.inputs[0]]
            made = self.file.tensors[number]
            if not tensor.sparse or not tensor.alike(made):
                raise call.invalid(
                    "its input is not sparse, or its result of another type, scale or zero point"
                )
        elif found.kind == "FLOAT16":
            found = Stored(found.array.astype(np.float32), "FLOAT32", None)
        elif found.quantization is None:
            raise call.refuse("its input has no scale")
        self.state.stored[number] = found

    def finish(self, call: TfliteCall, operator: Operator, number: int, made: Made) -> None:
        """What an operator makes becomes a tensor of the file: activated, quantized, in the file's layout."""
        tensor = self.file.tensors[number]
        name = made.name if isinstance(made, Image) else made
        activation = call.options.get("FusedActivationFunction", 0)
        if name in self.write.constants and tensor.quantization is None and not activation:
            array = self.write.constants[name]
            self.state.stored[number] = Stored(array, tensor.kind, None)
            self.check_kind(call, tensor, name)
            return
        if activation in BOUNDS:
            name = clipped(call, name, *BOUNDS[activation])
        elif activation == TANH:
            if tensor.quantization is not None:
                raise call.refuse(
                    f"its option FusedActivationFunction is {TANH}, Tanh, which runtimes leave out where there "
                    "are integers; use TANH"
                )
            name = self.write.node("Tanh", name)
        elif activation:
            raise call.refuse(f"its option FusedActivationFunction is {activation}, a sign")
        self.check_alike(call, tensor)
        if tensor.quantization is not None:
            if self.rounds(call, operator, tensor, activation):
                name = self.quantize(tensor, name)
        else:
            self.check_kind(call, tensor, name)
        image = isinstance(made, Image)
        if image and number in self.file.outputs:
            name, image = self.write.node("Transpose", name, perm=TO_CHANNELS_LAST), False
        if tensor.quantization is None and not image:
            name = self.write.named(name, tensor.name)
        (self.state.images if image else self.state.real)[number] = name

    def check_alike(self, call: TfliteCall, tensor: Tensor) -> None:
        """Raise where an operator would make real numbers of integers, or the other way round, on the way."""
        if call.operation.kind in CONVERTING or tensor.kind not in _REAL:
            return
        read = [number for number in call.operation.inputs if number >= 0 and number not in self.state.stored]
        kinds = {self.file.tensors[number].kind for number in read}
        if not kinds & _REAL <= {tensor.kind}:
            raise call.invalid(f"it makes {tensor.kind} of {', '.join(sorted(kinds & _REAL))}")

    def check_kind(self, call: TfliteCall, tensor: Tensor, name: str) -> None:
        """Raise unless a result has the type with which the file declares it."""
        if self.write.kind(name) != onnx_kind(call, tensor.kind):
            raise call.invalid(f"its result {tensor.name!r} is declared with the type {tensor.kind}")

    def rounds(self, call: TfliteCall, operator: Operator, tensor: Tensor, activation: int) -> bool:
        """Whether a result has to be rounded to its tensor's integers: not where such are moved."""
        check_codes(call, tensor)
        assert tensor.quantization is not None
        read = range(len(call.operation.inputs))
        meanings = [call.quantization(position) for position in read if call.given(position)]
        meanings = [meaning for meaning in meanings if meaning is not None]
        same = bool(meanings) and all(tensor.quantization.equals(meaning) for meaning in meanings)
        if operator.moves and not same:
            raise call.refuse("it moves integers, and its result has another scale than its input")
        return not (same and activation in (0, 1) and (operator.moves or call.operation.kind in JOINS))

    def quantize(self, tensor: Tensor, name: str) -> str:
        """Round numbers to a tensor's integers, and go on with what these stand for."""
        meaning, dtype = tensor.quantization, _CODES[tensor.kind]
        assert meaning is not None
        codes = self.write.node("QuantizeLinear", name, *parameters(self.write, meaning, dtype))
        return dequantized(self.write, codes, meaning, 0, dtype)

    def ended(self, number: int) -> str:
        """An output of the file by name."""
        tensor, call = self.file.tensors[number], self.call(number)
        self.write.label, self.write.begun = tensor.name, 0
        if number in self.state.stored or self.file.outputs.count(number) > 1:
            raise call.refuse("its output is a constant, or there twice")
        if number in self.state.blocks:
            raise call.refuse("it ends before BATCH_TO_SPACE_ND")
        name = call.real(0)
        if number in self.file.inputs or name != tensor.name:
            name = self.write.named(name, tensor.name, copied=number in self.file.inputs)
        return name


def _moves(rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a tensor with the channels, its last, behind the batch, and back to where they were."""
    axes = list(range(rank))
    first = (*axes[:1], *axes[1:][-1:], *axes[1:-1])
    return first, tuple(int(axis) for axis in np.argsort(first))


def check_codes(call: TfliteCall, tensor: Tensor) -> None:
    """Refuse integers that activations cannot be."""
    if tensor.kind not in _CODES:
        raise call.refuse(
            f"{tensor.name!r} has integers of type {tensor.kind}; convert the network with "
            "activations of 8 bits, or with real numbers, which hwquant quantizes"
        )
    if tensor.quantization is not None and tensor.quantization.scales.size > 1:
        raise call.refuse(f"{tensor.name!r} is computed, and has a scale for each channel")
