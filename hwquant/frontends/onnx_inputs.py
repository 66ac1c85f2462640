"""The inputs of an ONNX model: which they are, and their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.frontends.batch import NO_BATCH, BatchAxis, Dimensions, Shapes, check_fixed, fixed, shared_batch

if TYPE_CHECKING:
    import onnx


def inputs_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are not weights (old models list their weights as inputs too)."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [item for item in model.graph.input if item.name not in weights]


def dimensions(model: onnx.ModelProto) -> list[Dimensions]:
    """The shapes of the inputs; some exporters write an open dimension as -1."""
    found = []
    for item in inputs_of(model):
        if not item.type.tensor_type.HasField("shape"):
            raise Unsupported(
                f"input {item.name!r} has no shape; give it with --shape {item.name}=... (in Python "
                f"shapes={{{item.name!r}: (...)}})"
            )
        dims = item.type.tensor_type.shape.dim
        sizes = (dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in dims)
        found.append(Dimensions(item.name, tuple(sizes), tuple(dim.dim_param for dim in dims)))
    return found


def with_shapes(model: onnx.ModelProto, shapes: Shapes) -> onnx.ModelProto:
    """The model with the shapes of its inputs fixed; the argument is left as it is."""
    if not shapes:
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    for item in inputs_of(copied):
        kind = item.type.tensor_type
        if item.name in shapes and not kind.HasField("shape"):
            for _ in shapes[item.name]:
                kind.shape.dim.add()
    sizes = fixed(dimensions(copied), shapes)
    for item in inputs_of(copied):
        for dim, size in zip(item.type.tensor_type.shape.dim, sizes[item.name]):
            if size is not None:
                dim.dim_value = size
    return copied


def batch_of(model: onnx.ModelProto, batch_axis: BatchAxis) -> int | None:
    """The batch size that all inputs share, None where it is open; of one sample without a batch dimension 1.

    Raises
    ------
    Unsupported
        If a dimension is open that is not the batch, or empty, or the inputs differ in their batch.
    """
    inputs = dimensions(model)
    check_fixed(inputs, batch_axis)
    for item in inputs:
        if 0 in item.sizes:
            raise Unsupported(f"input {item.name!r} has the empty shape {item.sizes}; give its real one")
        if batch_axis == 0 and not item.sizes:
            raise Unsupported(f"input {item.name!r} has no dimension for the batch{NO_BATCH}")
    return 1 if batch_axis is None else shared_batch(item.sizes[0] for item in inputs)
