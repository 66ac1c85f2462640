"""A host part by numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.host.numpy_operators import OPERATORS, Call

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


def computable(model: onnx.ModelProto) -> bool:
    """Whether numpy has all the operators of a model."""
    return all(node.op_type in OPERATORS for node in model.graph.node)


class NumpyPart:
    """A model that numpy computes.

    Parameters
    ----------
    model : onnx.ModelProto
        A valid model whose operators are all in :data:`~hwquant.host.numpy_operators.OPERATORS`.
    what : str
        What messages call it.
    """

    def __init__(self, model: onnx.ModelProto, what: str) -> None:
        from onnx.numpy_helper import to_array

        self._what = what
        self._opset = int(model.opset_import[0].version)
        self._constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
        self._outputs = [item.name for item in model.graph.output]
        self._nodes = [(node, _attributes(node, self._opset)) for node in model.graph.node]

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Compute the outputs, in order.

        Parameters
        ----------
        feeds : mapping of ndarray
            The inputs by name.

        Raises
        ------
        HwquantError
            An operator does not take these arrays.
        """
        values = {"": None, **self._constants, **feeds}
        with np.errstate(all="ignore"):  # infinities and NaN are results, as in any runtime
            for node, attributes in self._nodes:
                inputs = tuple(values[name] for name in node.input)
                call = Call(inputs, attributes, self._opset, len(node.output))
                try:
                    result = OPERATORS[node.op_type](call)
                except (ValueError, IndexError, TypeError, ArithmeticError) as error:
                    reason = " ".join(str(error).split())
                    label = f"{self._what}: node {node.name or node.output[0]!r} ({node.op_type})"
                    raise HwquantError(f"{label} does not take its inputs: {reason}") from error
                results = result if isinstance(result, tuple) else (result,)
                values.update(zip(node.output, map(np.asarray, results)))
        return [np.asarray(values[name]) for name in self._outputs]


def _attributes(node: onnx.NodeProto, opset: int) -> dict[str, Any]:
    """The attributes of a node, with the defaults of the operator set."""
    from onnx import defs, helper

    schema = defs.get_schema(node.op_type, opset, "")
    given = {name: item.default_value for name, item in schema.attributes.items() if item.default_value.name}
    given |= {item.name: item for item in node.attribute}
    return {name: helper.get_attribute_value(item) for name, item in given.items()}
