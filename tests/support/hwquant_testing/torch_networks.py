"""Random networks of ATen operators as torch modules: any supported overload, with any arguments that torch takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hwquant_testing.torch_network import Constant, Network, Place, Step

from hwquant.frontends.aten_declared import DECLARED, IN_PLACE
from hwquant.frontends.aten_schema import REQUIRED, Argument, Schema

LAYERS = (
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "convolution",
    "linear",
    "addmm",
    "batch_norm",
    "relu",
    "leaky_relu",
    "add",
    "mul",
)
"""Chosen more often than the others."""
UNCALLED = frozenset(
    {
        *("_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range_for_size"),
        *("dot", "mv", "vdot", "where", "sym_size"),
        *(name for name in DECLARED if name.startswith("quantized_decomposed.")),
    }
)
"""Checks that torch.export itself inserts, and what only makes sense behind certain others."""
WILD = """
to _to_copy type_as full ones zeros gt argmax softmax _softmax log_softmax _log_softmax sqrt rsqrt
reciprocal _weight_norm _weight_norm_interface numpy_T t bmm
"""
"""Left out where most of a network shall be such as hwquant computes."""
OF_CONSTANTS = (
    *(
        "abs",
        "amax",
        "fmod",
        "linalg_vector_norm",
        "mean",
        "pow",
        "reciprocal",
        "rsqrt",
        "sqrt",
        "std",
        "sum",
        "var",
    ),
)
"""What is also, or only, computed of constants."""
TYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.uint8,
    torch.int8,
    torch.int64,
    torch.bool,
)

WORDS = {
    "padding": ("same", "valid"),
    "mode": ("constant", "reflect", "replicate", "circular"),
    "approximate": ("none", "tanh"),
}
"""Of the arguments that are text."""


class Generator:
    """Makes one network from a seed; in every other one most steps are such as hwquant computes.

    Attributes
    ----------
    inputs : example inputs, the batch first
    network : what was made
    magnitude : the largest number in it, by which float32's rounding is measured; NaN where one is

    Parameters
    ----------
    first : Schema or None
        The overload of the first step, where torch takes it.
    """

    def __init__(self, seed: int, first: Schema | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.network = Network()
        batch, rank = int(self.rng.integers(1, 4)), int(self.rng.choice([2, 3, 4, 4, 4]))
        shape = (batch, *(int(size) for size in self.rng.integers(1, 7, rank - 1)))
        self._tame = bool(seed % 2)
        kinds = [] if self._tame else ["float64", "uint8", "int64", "float16", "bool"]
        kind = self.rng.choice(["float32"] * 8 + kinds)
        self.inputs = (self._tensor(shape, getattr(torch, str(kind))),)
        with torch.no_grad():
            if first is not None:
                self._extend(first)
            for _ in range(int(self.rng.integers(1, 8))):
                self._extend()
            values = [item for item in self._values() if isinstance(item, torch.Tensor)]
        self.magnitude = float(np.max([float(item.double().abs().max()) for item in values]))

    def _extend(self, wanted: Schema | None = None) -> None:
        """Add a step that torch computes, if there is one among some tries."""
        operators = [
            name for name in DECLARED if name not in UNCALLED and not (self._tame and name in WILD.split())
        ]
        for _ in range(20):
            values = self._values()
            place = len(values) - 1 if self.rng.random() < 0.85 else int(self.rng.integers(len(values)))
            operator = str(
                self.rng.choice(LAYERS if self.rng.random() < (0.6 if self._tame else 0.3) else operators)
            )
            schema = wanted or DECLARED[operator][str(self.rng.choice(list(DECLARED[operator])))]
            before = set(dict(self.network.named_buffers()))
            try:
                step = self._step(schema, values[place], place, values)
                result = self.network.run(step, values)
            except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError):
                result = None  # torch refuses such a call
            if isinstance(result, torch.Tensor) and 0 < result.numel() < 10_000:
                self.network.steps.append(step)
                return
            for name in set(dict(self.network.named_buffers())) - before:
                delattr(self.network, name)

    def _values(self) -> list[Any]:
        values: list[Any] = [item.clone() for item in self.inputs]
        for step in self.network.steps:
            values.append(self.network.run(step, values))
        return values

    def _step(self, schema: Schema, value: Any, place: int, values: Sequence[Any]) -> Step:
        in_place = schema.operator in IN_PLACE.split() and self.rng.random() < 0.2
        tensors = self._tensors(schema, value, values)
        arguments: dict[str, Any] = {}
        for number, argument in enumerate(schema.arguments):
            name = "self" if in_place and number == 0 else argument.name
            if argument.name in tensors:
                found = tensors[argument.name]
                if found is not None or argument.default is REQUIRED:
                    arguments[name] = Place(place) if found is value else found
            elif argument.default is REQUIRED or self.rng.random() < 0.5:
                arguments[name] = self._plain(argument, schema, value)
        overload = "default" if in_place and schema.operator == "transpose" else schema.overload
        return Step(schema.operator + "_" * in_place, overload, arguments)

    def _tensors(self, schema: Schema, value: Any, values: Sequence[Any]) -> dict[str, Any]:
        """The arguments that are tensors; the activation itself stands for its place."""
        rng, operator = self.rng, schema.operator
        shape = tuple(value.shape)
        channels = shape[1] if len(shape) > 1 else 1
        out = int(rng.integers(1, 5))
        found: dict[str, Any] = {}
        for argument in schema.arguments:
            if argument.kind.startswith("Tensor"):
                found[argument.name] = value if not found else None
        if operator.startswith("conv"):
            axes = len(shape) - 2 if operator == "convolution" else int(operator[-2])
            kernel = tuple(int(size) for size in rng.integers(1, 4, axes))
            groups = self._groups = self._divisor(channels)
            self._transposed = operator.startswith("conv_transpose") or rng.random() < 0.2
            weight = (channels, out) if self._transposed else (out * groups, channels // groups)
            found["weight"] = self._constant((*weight, *kernel))
            found["bias"] = self._maybe((out * groups,))
        elif operator in ("linear", "addmm", "mm", "matmul", "bmm"):
            features = shape[-1]
            name = {"linear": "weight", "matmul": "other"}.get(operator, "mat2")
            size: tuple[int, ...] = (out, features) if operator == "linear" else (features, out)
            size = (shape[0], *size) if operator == "bmm" else size
            found[name] = self._constant(size)
            if operator == "addmm":
                found["mat1"], found["self"] = (
                    value,
                    self._constant(self._choice([(out,), (1, out), (1,), (shape[0], 1)])),
                )
            elif "bias" in found:
                found["bias"] = self._maybe((out,))
        elif operator in OF_CONSTANTS and rng.random() < 0.5:
            found["self"] = self._constant(shape, positive=True)
        elif "running_mean" in found:
            found |= {name: self._maybe((channels,)) for name in ("weight", "bias")}
            found["running_mean"], found["running_var"] = (
                self._constant((channels,)),
                self._constant((channels,), True),
            )
        elif operator.startswith("_weight_norm"):
            found["v"], found["g"] = self._constant((3, 2, 2)), self._constant((3, 1, 1))
        elif "tensors" in found:
            others = [Place(number) for number, item in enumerate(values) if isinstance(item, torch.Tensor)]
            chosen = [others[int(rng.integers(len(others)))] for _ in range(int(rng.integers(1, 3)))]
            found["tensors"] = chosen
            if operator == "einsum":
                self._equation, constant = self._einsum(shape)
                place = Place(next(number for number, item in enumerate(values) if item is value))
                found["tensors"] = [place, *([] if constant is None else [self._constant(constant)])]
        elif operator in ("index", "index_select"):
            places = self._places(min(shape))
            axis = int(rng.integers(len(shape)))
            found["indices" if operator == "index" else "index"] = (
                [None] * axis + [places] if operator == "index" else places
            )
        elif operator == "prelu":
            found["weight"] = self._constant(self._choice([(1,), (channels,)]))
        else:
            for argument in schema.arguments[1:]:
                if argument.kind.startswith("Tensor"):
                    found[argument.name] = self._other(shape, values)
        return found

    def _other(self, shape: tuple[int, ...], values: Sequence[Any]) -> Any:
        """The second operand: a constant that broadcasts, a number as a tensor, or another activation."""
        pick = self.rng.random()
        if pick < 0.3:
            alike = [
                n for n, item in enumerate(values) if getattr(item, "shape", None) == shape or not self._tame
            ]
            return Place(self._choice(alike))
        channel = tuple(size if axis == 1 else 1 for axis, size in enumerate(shape))
        size = self._choice([(), (), (1,), channel[1:], channel, shape[1:], shape[-1:]])
        if self._tame:
            size = self._choice([(), channel[1:] or (1,), channel])
        kind = (
            "float32"
            if self._tame
            else str(self.rng.choice(["float32"] * 6 + ["float64", "int64", "float16"]))
        )
        return self._constant(size, kind=kind)

    def _divisor(self, channels: int) -> int:
        """A number of groups."""
        return int(self.rng.choice([group for group in (1, 1, 2, 3) if channels % group == 0]))

    def _places(self, size: int) -> Constant:
        """Indices of some elements of an axis."""
        name = f"c{len(dict(self.network.named_buffers()))}"
        self.network.register_buffer(
            name, torch.from_numpy(self.rng.integers(0, size, int(self.rng.integers(1, 5))))
        )
        return Constant(name)

    def _einsum(self, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...] | None]:
        labels = "abcd"[: len(shape)]
        pick = int(self.rng.integers(4))
        if pick == 0:
            return f"{labels}->{''.join(self.rng.permutation(list(labels)))}", None
        axis = int(self.rng.integers(1, len(shape)))
        if pick == 1:
            return f"{labels},{labels[axis]}->{labels}", (shape[axis],)
        result = labels.replace(labels[axis], "o" if pick == 2 else "") + ("" if pick == 2 else "o")
        return f"{labels},o{labels[axis]}->{result}", (int(self.rng.integers(1, 4)), shape[axis])

    def _plain(self, argument: Argument, schema: Schema, value: Any) -> Any:
        """An argument that is no tensor."""
        rng, rank, name = self.rng, value.dim(), argument.name
        kind = argument.kind.removesuffix("?")
        if "upsample" in schema.operator and name == "output_size":
            self._sized = schema.overload != "vec" or rng.random() < 0.5  # else by factors
            return [int(size) for size in rng.integers(1, 9, rank - 2)] if self._sized else None
        if name == "scale_factors":
            return None if self._sized else [float(rng.choice([0.5, 1.7, 2])) for _ in range(rank - 2)]
        if (argument.kind.endswith("?") and rng.random() < 0.3) or (
            self._tame and name in ("dtype", "divisor_override")
        ):
            return None
        if name == "equation":
            return self._equation
        if name == "groups":
            return self._groups if schema.operator.startswith("conv") else self._divisor(value.shape[1])
        if name == "transposed":
            return self._transposed
        if name in ("eps", "momentum", "p"):
            return float(rng.choice([1e-5, 0.1, 0.5]))
        if name in ("train", "training"):
            return bool(not self._tame and rng.random() < 0.1)
        if name in ("size", "shape", "sizes", "output_size"):
            return self._shape(schema, value)
        if name == "pad":
            return [int(size) for size in rng.integers(0, 3, 2 * int(rng.integers(1, max(rank - 1, 2))))]
        if name == "dims" and schema.operator != "tile":
            count = {"flip": int(rng.integers(1, rank + 1)), "roll": 1}.get(schema.operator, rank)
            return [int(axis) for axis in rng.permutation(rank)][:count]
        if name in ("repeats", "dims") and kind == "int[]":
            return [1, *(int(times) for times in rng.integers(1, 3, rank - 1))]
        if name in ("split_size", "split_sizes") and kind == "int[]":
            first = int(rng.integers(0, value.shape[-1] + 1))
            return [first, value.shape[-1] - first]
        if kind.startswith("int["):
            count = int(kind[4:-1] or 2)
            low = 0 if name in ("padding", "output_padding") else 1
            if name == "dim" and self._tame:
                return [2, 3][: rank - 2] or [1]
            if name == "dim":
                return [
                    int(axis)
                    for axis in rng.choice(range(1, max(rank, 2)), min(count, max(rank - 1, 1)), False)
                ]
            count = rank - 2 if schema.operator == "convolution" else count
            return [int(size) for size in rng.integers(low, low + 3, max(count, 1))]
        if kind == "int":
            return int(rng.integers(-rank, max(rank, 1)))
        if kind == "str":
            return str(rng.choice(WORDS.get(name, ["floor"])))
        if kind in ("Scalar", "float"):
            number = self._choice([0, 1, -1, 2, 0.5, -0.25, 3.75, 0.01])
            return float(number) if kind == "float" else number
        if kind == "bool":
            return bool(rng.random() < 0.5)
        if kind == "ScalarType":
            return self._choice([torch.float32] * 4 + list(TYPES))
        if kind == "Device":
            return torch.device("cpu")
        if kind == "MemoryFormat":
            return self._choice([torch.contiguous_format, torch.preserve_format])
        return None

    def _shape(self, schema: Schema, value: Any) -> list[Any]:
        shape = list(value.shape)
        if schema.operator.startswith("adaptive") or schema.operator.startswith("_adaptive"):
            return [int(size) for size in self.rng.integers(1, 4, 1 + ("2d" in schema.operator))]
        if schema.operator in ("expand", "broadcast_to", "full", "zeros", "ones"):
            return [
                int(self._choice([size, size, -1])) if "expand" in schema.operator else size for size in shape
            ]
        if schema.operator == "unflatten":
            return [-1, 1]
        return self._choice(
            [
                [shape[0], -1],
                [shape[0], *shape[1:2], -1],
                [*shape, 1],
                [-1, *shape[1:]],
                [-1, shape[-1]],
                shape[::-1],
            ]
        )

    def _choice(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def _tensor(self, shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
        if kind.is_floating_point:
            return torch.from_numpy(self.rng.standard_normal(shape)).to(kind)
        top = 2 if kind == torch.bool else 256
        return torch.from_numpy(self.rng.integers(0, top, shape)).to(kind)

    def _constant(self, shape: tuple[int, ...], positive: bool = False, kind: str = "float32") -> Constant:
        name = f"c{len(dict(self.network.named_buffers()))}"
        tensor = self._tensor(shape, torch.float32)
        tensor = tensor.abs() + 0.5 if positive else tensor
        self.network.register_buffer(name, (tensor * (1 if "float" in kind else 3)).to(getattr(torch, kind)))
        return Constant(name)

    def _maybe(self, shape: tuple[int, ...]) -> Constant | None:
        return self._constant(shape) if self.rng.random() < 0.7 else None
