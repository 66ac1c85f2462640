"""The batch of a model that is cut: its ends are models of one size, so that it is fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.frontends.batch import BatchAxis, check_fixed, shared_batch
from hwquant.frontends.onnx_inputs import dimensions, inputs_of

if TYPE_CHECKING:
    import onnx


def fixed(model: onnx.ModelProto, batch_axis: BatchAxis = 0) -> tuple[onnx.ModelProto, int]:
    """Fix a model's batch, at 1 where it is open, and return it with the batch; the argument is left as it is.

    Inputs may be without the batch as their first axis where it is 1: each sample then has a whole one. Where the
    model has no batch dimension at all, the batch is 0.

    Raises
    ------
    Unsupported
        Another dimension is open, or the inputs have different batches.
    """
    if batch_axis is None:
        check_fixed(dimensions(model), None)
        return model, 0
    found = dimensions(model)
    opened = {item.label(0) for item in found if item.sizes and item.sizes[0] is None} - {""}
    first = {
        item.name: item.sizes[0]
        for item in found
        if item.sizes and not any(item.label(axis) in opened for axis in item.opened if axis)
    }
    sizes = {size for size in first.values() if size}
    single = len(first) < len(found) or len(sizes) > 1  # an input that has its batch elsewhere, or none
    if single and not (1 in sizes or not sizes or None in first.values()):
        shared_batch(first.values())
        raise Unsupported("an input has no batch as its first axis, and the others have one that is not 1")
    batch = 1 if single or not sizes else sizes.pop()
    copied = type(model)()
    copied.CopyFrom(model)
    for item, proto in zip(found, inputs_of(copied), strict=True):
        dims = proto.type.tensor_type.shape.dim
        for axis in item.opened:
            if (axis == 0 and item.name in first) or item.label(axis) in opened:
                dims[axis].dim_value = batch
    for proto in copied.graph.output:
        for dim in proto.type.tensor_type.shape.dim:
            if dim.dim_param in opened:
                dim.dim_value = batch
    check_fixed(dimensions(copied), 0)
    check_fixed(dimensions(copied), None)  # the first axis of an input that has its batch elsewhere
    return copied, batch
