"""One operator of a TensorFlow Lite file, as its translation sees it, and the declaration of what it may carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Damaged, Unsupported
from hwquant.frontends.declaration import Irrelevant, Refused, Treatment, among
from hwquant.frontends.tflite_model import Operation, Quantization, TfliteFile
from hwquant.frontends.tflite_writer import Writer

TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
"""The axes of an image (N, H, W, C) in ONNX's order, and back."""

Blocks = tuple[int, int]
"""The distance, in pixels and on both axes, of what an operator takes for neighbours."""


@dataclass(frozen=True)
class Image:
    """A tensor (N, C, H, W); the file's order is (N, H, W, C).

    Attributes
    ----------
    name : str
        Its name in the graph.
    """

    name: str


Made = str | Image
"""What a translation makes: a tensor of the graph by name."""


@dataclass(frozen=True)
class Stored:
    """A constant of the file.

    Attributes
    ----------
    array : ndarray
        Its elements.
    kind : str
        Their type, as the schema calls it.
    quantization : Quantization or None
        What they stand for, where that is not themselves.
    """

    array: NDArray[Any]
    kind: str
    quantization: Quantization | None


@dataclass
class State:
    """What is known of the file's tensors, by number.

    Attributes
    ----------
    real : dict of str
        The tensor of the graph that has the real numbers, or the integers where they stand for themselves.
    images : dict of str
        That of an image in ONNX's order (N, C, H, W), where an operator made it so; ``real`` has it once it is read.
    stored : dict of Stored
        Constants.
    blocks : dict of Blocks
        Of tensors between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, which are left as they were before.
    asked : set of int
        Inputs of the operator at hand that its translation asked for, by their positions.
    """

    real: dict[int, str] = field(default_factory=dict)
    images: dict[int, str] = field(default_factory=dict)
    stored: dict[int, Stored] = field(default_factory=dict)
    blocks: dict[int, Blocks] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class TfliteCall:
    """One operator, its inputs asked for by their positions.

    Attributes
    ----------
    write : Writer
        The graph, where its nodes go.
    file : TfliteFile
        The file.
    state : State
        What is known of the file's tensors.
    operation : Operation
        The operator.
    options : mapping
        Its options by name.
    """

    write: Writer
    file: TfliteFile
    state: State
    operation: Operation
    options: Mapping[str, Any]

    @property
    def where(self) -> str:
        """The operator as messages name it."""
        kind = "the custom operator " if self.operation.custom else ""
        outputs = self.operation.outputs
        name = f" ({self.file.tensors[outputs[0]].name!r})" if outputs else ""
        return f"{self.file.name!r} is a TensorFlow Lite file; {kind}{self.operation.kind}{name}"

    def refuse(self, why: str) -> Unsupported:
        """The error for what is valid and not supported."""
        where = f"operator {self.operation.index}"
        return Unsupported(f"{self.where}: {why}", where=where, operator=self.operation.kind)

    def invalid(self, why: str) -> Damaged:
        """The error for what no runtime can compute."""
        return Damaged(f"{self.where}: {why}; convert it again")

    def given(self, position: int) -> bool:
        """Whether an input is there: optional ones are left out."""
        return position < len(self.operation.inputs) and self.operation.inputs[position] >= 0

    def number(self, position: int) -> int:
        """The number of an input's tensor."""
        if not self.given(position):
            raise self.invalid(f"its input {position} is missing")
        self.state.asked.add(position)
        return self.operation.inputs[position]

    def stored(self, position: int) -> Stored:
        """An input that is a constant."""
        found = self.state.stored.get(self.number(position))
        if found is None:
            name = self.file.tensors[self.number(position)].name
            raise self.refuse(f"its input {name!r} is computed, and has to be a constant here")
        return found

    def integers(self, position: int) -> list[int]:
        """A constant input of integers, in a line."""
        array = self.stored(position).array
        if array.dtype.kind != "i" or array.size > 64:
            raise self.invalid(f"its input {position} is no short list of integers")
        return [int(number) for number in array.ravel()]

    def integer(self, position: int) -> int:
        """A constant input that is one integer."""
        numbers = self.integers(position)
        if len(numbers) != 1:
            raise self.invalid(f"its input {position} is {numbers}, not one integer")
        return numbers[0]

    def real(self, position: int) -> str:
        """The tensor with an input's real numbers, or the integers that stand for themselves."""
        number = self.number(position)
        if number in self.state.images and number not in self.state.real:
            image = self.state.images[number]
            self.state.real[number] = self.write.node("Transpose", image, perm=TO_CHANNELS_LAST)
        elif number not in self.state.real:
            self.state.real[number] = self.weights(position)
        return self.state.real[number]

    def shape(self, position: int) -> tuple[int, ...]:
        """The shape of an input."""
        number = self.number(position)
        if number in self.state.stored:
            return self.state.stored[number].array.shape
        if number in self.state.images:
            sizes = self.write.shape(self.state.images[number])
            return tuple(sizes[axis] for axis in TO_CHANNELS_LAST)
        return self.write.shape(self.real(position))

    def alike(self, *positions: int) -> tuple[list[str], Callable[[str], Made]]:
        """Inputs for an operator that takes elements one by one, and what its result becomes: an image of images."""
        numbers = [self.number(position) for position in positions]
        images = [number in self.state.images for number in numbers]
        single = [
            number in self.state.stored and self.state.stored[number].array.size == 1 for number in numbers
        ]
        if any(images) and all(image or one for image, one in zip(images, single)):
            names = [
                self.state.images[number] if image else self.real(position)
                for number, image, position in zip(numbers, images, positions)
            ]
            return names, Image
        return [self.real(position) for position in positions], str

    def image(self, position: int) -> str:
        """An input (N, H, W, C) as (N, C, H, W)."""
        if self.number(position) in self.state.images:
            return self.state.images[self.number(position)]
        name = self.real(position)
        if len(self.write.shape(name)) != 4:
            raise self.invalid(f"its input has the shape {self.write.shape(name)}, not four dimensions")
        return self.write.node("Transpose", name, perm=TO_CHANNELS_FIRST)

    def quantization(self, position: int) -> Quantization | None:
        """What the integers of an input stand for."""
        number = self.number(position)
        stored = self.state.stored.get(number)
        return stored.quantization if stored is not None else self.file.tensors[number].quantization

    def weights(self, position: int, order: tuple[int, ...] | None = None) -> str:
        """An input with its axes in another order; a constant is stored so, and dequantized."""
        found = self.state.stored.get(self.number(position))
        if found is None:  # computed, as weights seldom are
            name = self.real(position)
            return name if order is None else self.write.node("Transpose", name, perm=order)
        if order is not None and found.array.ndim != len(order):
            raise self.invalid(f"its weights have the shape {found.array.shape}")
        order = tuple(range(found.array.ndim)) if order is None else order
        tensor = self.file.tensors[self.number(position)]
        array = found.array.transpose(order)
        if found.kind == "INT16" and found.quantization is not None:
            raise self.refuse(f"its input {tensor.name!r} has integers of 16 bits; convert it with 8 bits")
        if found.quantization is None and found.kind == "INT4":
            raise self.invalid(f"its input {tensor.name!r} has integers of 4 bits without a scale")
        bits = 4 if found.kind == "INT4" else 0
        name = self.write.constant(array, tensor.name, bits)
        if found.quantization is None:
            return name
        axis = order.index(found.quantization.axis) if found.array.ndim else 0
        return dequantized(self.write, name, found.quantization, axis, array.dtype, bits)


def dequantized(
    write: Writer, name: str, meaning: Quantization, axis: int, dtype: np.dtype[Any], bits: int = 0
) -> str:
    """The real numbers of integers."""
    inputs = [name, *parameters(write, meaning, dtype, bits)]
    attributes = {"axis": axis} if meaning.scales.size > 1 else {}
    return write.node("DequantizeLinear", *inputs, **attributes)


def parameters(write: Writer, meaning: Quantization, dtype: np.dtype[Any], bits: int = 0) -> tuple[str, str]:
    """Scale and zero point, without dimensions where there is one of each."""
    shape = meaning.scales.shape if meaning.scales.size > 1 else ()
    scales = write.constant(meaning.scales.reshape(shape), f"{write.label}/scale")
    zeros = meaning.zero_points.astype(dtype).reshape(shape)
    return scales, write.constant(zeros, f"{write.label}/zero_point", bits)


@dataclass(frozen=True)
class Operator:
    """What an operator becomes, and everything that its options may be.

    Attributes
    ----------
    translate : callable
        The function from an operator that `admitted` has let through to what it makes.
    table : str
        The class of its options in the schema; empty where none say anything.
    options : mapping
        What becomes of each option, by name.
    moves : bool
        Whether integers are moved as they are: their scale has to stay.
    in_blocks : bool
        Whether it does the same between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND as without them, its window dilated.
    """

    translate: Callable[[TfliteCall], Made | list[Made]]
    table: str = ""
    options: Mapping[str, Treatment] = field(default_factory=dict)
    moves: bool = False
    in_blocks: bool = False


def admitted(call: TfliteCall, operator: Operator) -> None:
    """Check that all that an operator carries is accounted for.

    Raises
    ------
    HwquantError
        An option is refused by the declaration, or not in it, or options are missing.
    """
    operation = call.operation
    if operation.table and operation.table != operator.table and operation.options:
        raise call.invalid(f"it has the options of another one ({operation.table})")
    needed = [
        name
        for name, item in operator.options.items()
        if not isinstance(item, Irrelevant | Refused) and name not in ("FusedActivationFunction", "NewShape")
    ]
    if needed and not operation.table:
        raise call.invalid("it lacks its options")
    for name, value in operation.options.items():
        treatment = operator.options.get(name)
        shown = f"its option {name} is {value}"
        if treatment is None:
            raise call.refuse(f"{shown}, which is not supported")
        if isinstance(treatment, Refused):
            if not treatment.allows(value):
                raise call.refuse(f"{shown}; {treatment.reason}")
        elif treatment.one_of and not among(value, treatment.one_of):
            raise call.invalid(f"{shown}, which there is not")
