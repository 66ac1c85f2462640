"""Evaluate nodes whose inputs are all constant, with the reference implementation of the onnx package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array

if TYPE_CHECKING:
    import onnx

_SLOW = frozenset({"Erf", "GatherElements", "GatherND", "ScatterElements", "ScatterND"})
"""Operators whose reference implementations are loops in Python."""

_QUICK = """
    Abs Add And ArgMax ArgMin Cast CastLike Ceil Clip Compress Concat Constant ConstantOfShape CumSum
    DequantizeLinear Div Equal Exp Expand EyeLike Flatten Floor Gather Gemm Greater GreaterOrEqual Identity
    IsInf IsNaN Less LessOrEqual Log MatMul Max Mean Min Mod Mul Neg NonZero Not OneHot Or Pad Pow QuantizeLinear
    Range Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Round Shape Sigmoid Sign Size Slice Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu Unsqueeze
    Where Xor
    """

_SINCE = {"DequantizeLinear": 19, "QuantizeLinear": 19}
"""The first reference implementation of operators that mean the same in older operator sets."""

EVALUATED = _SLOW | frozenset(_QUICK.split())
"""Operators on constants: what exporters leave of shapes, masks and weights."""

_SMALL = 1024
"""Elements of a constant whose numbers may decide the shape of a result."""


class Constants:
    """The evaluation of constant nodes, within a bound on what a model of its size can need.

    Parameters
    ----------
    opset : int
        Version of the default operator set.
    stored : int
        Elements of the constants in the file.
    """

    def __init__(self, opset: int, stored: int) -> None:
        self.opset = opset
        self._left = (1 << 25) + 8 * stored

    def evaluate(self, build: Builder, node: onnx.NodeProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs of a node.

        Parameters
        ----------
        build : Builder
            The network under construction, which makes the errors.
        node : onnx.NodeProto
            The node.
        inputs : mapping of ndarray
            The constants that it reads, by name.

        Returns
        -------
        dict of ndarray
            The outputs by name.

        Raises
        ------
        Unsupported
            For random numbers, for what is too large, and for constants that the operator does not take.
        """
        from onnx.reference import ReferenceEvaluator

        if node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial"):
            raise build.refuse("random numbers are not supported; export the model in evaluation mode")
        if node.op_type not in EVALUATED:
            raise build.refuse(
                "this operator is not evaluated on constants; simplify the model before (onnxsim, onnxruntime)"
            )
        model, feeds = self._model(node, inputs)
        if node.op_type != "Constant":
            self._account(build, node, model, inputs)
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(model).run(None, feeds)
        except Exception as error:  # whatever an operator's reference implementation raises on bad constants
            raise build.refuse(f"its constants cannot be evaluated: {error}") from error
        return {name: np.asarray(result) for name, result in zip(filter(None, node.output), results)}

    def _model(
        self, node: onnx.NodeProto, inputs: Mapping[str, Array]
    ) -> tuple[onnx.ModelProto, dict[str, Array]]:
        """The node alone, and its large inputs; the small ones are in the model, where inference sees them."""
        from onnx import helper, numpy_helper

        feeds = {name: array for name, array in inputs.items() if array.size > _SMALL}
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ]
        small = [numpy_helper.from_array(array, name) for name, array in inputs.items() if name not in feeds]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = helper.make_graph([node], "constant", infos, outputs, small)
        version = max(self.opset, _SINCE.get(node.op_type, 0))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)]), feeds

    def _account(
        self, build: Builder, node: onnx.NodeProto, model: onnx.ModelProto, inputs: Mapping[str, Array]
    ) -> None:
        """Refuse what is too large before it is made."""
        import onnx

        try:
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), "no reason given")
            raise build.refuse(f"its constants cannot be evaluated: {reason}") from None
        size = sum(
            math.prod(max(dim.dim_value, 1) for dim in item.type.tensor_type.shape.dim)
            for item in inferred.graph.output
        )
        if node.op_type in ("MatMul", "Gemm"):
            size *= max(1, *(shape for array in inputs.values() for shape in array.shape[-1:])) // 256 + 1
        self._left -= size * (64 if node.op_type in _SLOW else 1)
        if self._left < 0:
            raise build.refuse(f"it computes a constant of {size} elements, which is too large")
