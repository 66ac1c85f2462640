"""Element types of ONNX: with which of them is computed, and why not with the others.

They are named as in the operators' schemas, without ``tensor()`` around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

REAL = frozenset({"float", "double", "float16", "bfloat16"})
"""Real numbers. The float network has no rounding of its own: quantization rounds more coarsely than any."""

INTEGERS = frozenset({"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"})

NARROW = frozenset({"int2", "int4", "uint2", "uint4"})
"""Integers that only quantized tensors are made of."""

ANY = REAL | INTEGERS
"""Types for operators that only move elements."""

INDICES = frozenset({"int32", "int64"})
TRUTH = frozenset({"bool"})

_FLOAT8 = "float8 and narrower numbers are not computed with; convert the model to float32"
_INT4 = "numbers of less than 8 bits are not computed with; dequantize them before"

REFUSED = {
    "bool": "truth values are not computed with; cast to float first",
    "string": "strings are not computed with; let the host turn them into numbers",
    "complex64": "complex numbers are not computed with; split them into real and imaginary part on the host",
    "complex128": "complex numbers are not computed with; split them into real and imaginary part on the host",
    "undefined": "it is of no type",
    **dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"), _FLOAT8),
    **dict.fromkeys(("float8e8m0", "float6e2m3", "float6e3m2", "float4e2m1"), _FLOAT8),
    **dict.fromkeys(NARROW, _INT4),
}
"""Why no operator takes these for an activation."""

_LIMITS = {"float16": 65504.0}
"""The largest number of a float type that integers can exceed."""


def type_name(code: int) -> str | None:
    """A type's name by its number in TensorProto; None for an unknown one."""
    from onnx import TensorProto

    try:
        return str(TensorProto.DataType.Name(code)).lower() if code else None
    except ValueError:
        return None


def array_type(array: np.ndarray) -> str:
    """The name of a constant's element type."""
    from onnx import helper

    return type_name(helper.np_dtype_to_tensor_dtype(array.dtype)) or "undefined"


def holds(target: str, source: str) -> bool:
    """Whether every number of the integer type ``source`` is one of ``target`` (but for rounding)."""
    low, high = np.iinfo(source).min, np.iinfo(source).max
    if target in INTEGERS:
        return np.iinfo(target).min <= low and high <= np.iinfo(target).max
    return target in REAL and high <= _LIMITS.get(target, np.inf)


def result_type(
    schema: onnx.defs.OpSchema, inputs: Sequence[str | None], attributes: dict[str, object]
) -> str:
    """The element type of an operator's first output."""
    wanted = schema.outputs[0].type_str
    for index, name in enumerate(inputs):
        declared = schema.inputs[min(index, len(schema.inputs) - 1)]
        if name is not None and declared.type_str == wanted:
            return name
    target = attributes.get("to") or attributes.get("output_dtype")
    if schema.name == "QuantizeLinear" and not target:
        return "uint8"
    if isinstance(target, int):
        return type_name(target) or "undefined"
    allowed = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}.get(
        wanted, []
    )
    only = allowed[0] if len(allowed) == 1 else wanted  # that of comparisons is called T1
    return only.removeprefix("tensor(").removesuffix(")")
