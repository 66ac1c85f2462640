"""Functions of one variable in ONNX's standard operators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwquant.export.builder import Builder
from hwquant.expression import Expression, Operator, Result

_NAMES: Mapping[Operator, str] = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "power": "Pow",
    "minimum": "Min",
    "maximum": "Max",
    "negative": "Neg",
    "absolute": "Abs",
    "if_greater": "Greater",
    "if_equal": "Equal",
}
"""What ONNX calls operators; all others by the same name, but capitalized."""


def write_expression(builder: Builder, expression: Expression, x: str, value: str, name: str) -> str:
    """Add the operators of a function.

    Parameters
    ----------
    builder : Builder
        The ONNX graph.
    expression : Expression
        The function.
    x : str
        The value that it is applied to, float32.
    value : str
        What the function's value is called.
    name : str
        The node of the network, whose name the last operator has.

    Returns
    -------
    str
        ``value``.
    """
    if not expression.operations:
        return builder.node("Identity", [x], value, label=name)
    results, last = [x], len(expression.operations)
    for number, operation in enumerate(expression.operations, 1):
        made = f"{name}/{operation.operator}_{number}"
        operands = [
            results[item.number]
            if isinstance(item, Result)
            else builder.constant(f"{made}_{place}", item, np.float32)
            for place, item in enumerate(operation.operands)
        ]
        operator = _NAMES.get(operation.operator, operation.operator.capitalize())
        output, label = (value, name) if number == last else (made, "")
        if operation.operator in ("if_greater", "if_equal"):
            condition = builder.node(operator, operands[:2], f"{made}_condition")
            results.append(builder.node("Where", [condition, *operands[2:]], output, label=label))
        else:
            results.append(builder.node(operator, operands, output, label=label))
    return value
