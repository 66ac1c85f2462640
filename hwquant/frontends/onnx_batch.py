"""The batch of a model that is cut: its ends are models of one size, so that it is fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.frontends.batch import not_fixed, shared_batch
from hwquant.frontends.onnx_reader import graph_inputs

if TYPE_CHECKING:
    import onnx


def fixed(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Fix a model's batch, at 1 where it is open, and return it with the batch; the argument is left as it is.

    Inputs may be without the batch as their first axis where it is 1: each sample then has a whole one.

    Raises
    ------
    Unsupported
        Another dimension is open, or the inputs have different batches.
    """
    copied = type(model)()
    copied.CopyFrom(model)
    shapes = {}
    for item in graph_inputs(copied):
        if not item.type.tensor_type.HasField("shape"):
            raise Unsupported(f"input {item.name!r} has no shape; export the model with fixed shapes")
        shapes[item.name] = list(item.type.tensor_type.shape.dim)
    opened = {dims[0].dim_param for dims in shapes.values() if dims and dims[0].dim_value < 1} - {""}
    first = {
        name: dims[0].dim_value
        for name, dims in shapes.items()
        if dims and not any(dim.dim_param in opened for dim in dims[1:] if dim.dim_value < 1)
    }
    sizes = {size for size in first.values() if size > 0}
    single = len(first) < len(shapes) or len(sizes) > 1  # an input that has its batch elsewhere, or none
    if single and not (1 in sizes or not sizes or 0 in first.values()):
        shared_batch(first.values())
        raise Unsupported("an input has no batch as its first axis, and the others have one that is not 1")
    batch = 1 if single or not sizes else sizes.pop()
    for name, dims in shapes.items():
        for axis, dim in enumerate(dims):
            if dim.dim_value < 1 and ((axis == 0 and name in first) or dim.dim_param in opened):
                dim.dim_value = batch
            elif dim.dim_value < 1:
                label = f" ({dim.dim_param!r})" if dim.dim_param else ""
                remedy = "fix it with onnxruntime.tools.make_dynamic_shape_fixed or at export"
                raise not_fixed(name, f"{axis}{label}", remedy)
    return copied, batch
