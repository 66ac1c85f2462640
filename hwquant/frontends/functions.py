"""Functions of one variable: what nodes compute, element by element, of one tensor becomes one Function.

``x * sigmoid(x)`` reads a tensor twice, and so do most activation functions where an exporter spells them out.
:func:`combined` goes back from each operand through functions, clips and maps by single numbers to the nearest tensor
that all of them are functions of. What only served in between is read by nothing then, and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hwquant.errors import HwquantError
from hwquant.expression import Expression, bounded
from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import Affine, mapped
from hwquant.frontends.values import Array, Value
from hwquant.graph import Clip, Function

Combination = Callable[..., Expression]
"""What is computed of expressions of one variable, and of numbers."""

LONGEST_PATH = 64
"""Nodes that are gone back to find a common tensor; those of an activation function are fewer."""

_LINEAR = frozenset({"add", "subtract", "multiply", "divide", "minimum", "maximum"})
"""Operators of what Add, Clip and maps by numbers compute without a Function."""


def function(build: Builder, name: str, value: Value, expression: Expression) -> Value:
    """Apply a function to every element of a value."""
    source = _placed(build, value)
    node = Function(build.unique(name), (source.tensor,), expression)
    return replace(source, tensor=build.emit(node))


def _placed(build: Builder, value: Value) -> Value:
    """A value in the terms of a tensor, of which each sample is seen alike."""
    source = build.place(build.with_batch(value))
    build.sample(source)
    return build.as_given(source, value)


def combined(
    build: Builder,
    name: str,
    combination: Combination,
    operands: Sequence[Value | Array],
    curved: bool = False,
) -> Value | None:
    """Compute something of values, element by element, where they are functions of one tensor.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the node.
    combination : callable
        What to compute, of expressions and numbers.
    operands : sequence of Value or ndarray
        The values, one at least, and constants.
    curved : bool, default False
        Leave it to other nodes where none of the operands is more than clips and maps by numbers.

    Returns
    -------
    Value or None
        None where the values are functions of different tensors or seen in different orders, or a constant is not
        the same number for all elements.
    """
    placed = [_placed(build, item) if isinstance(item, Value) else item for item in operands]
    values = [item for item in placed if isinstance(item, Value)]
    first = values[0]
    constants = [item for item in placed if not isinstance(item, Value)]
    if any(np.size(item) == 0 or np.ndim(item) > len(first.shape) for item in constants):
        return None
    if any((item != np.ravel(item)[0]).any() for item in constants):
        return None
    try:
        np.broadcast_shapes(first.shape, *(np.shape(item) for item in constants))
    except ValueError:
        return None
    if not all(_seen_alike(build, first, other) for other in values[1:]):
        return None
    paths = [_path(build, item.tensor) for item in values]
    behind = [{tensor for tensor, _ in path} for path in paths]
    root = next((tensor for tensor, _ in paths[0] if all(tensor in known for known in behind)), None)
    if root is None:
        return None
    try:
        expressions = [_from(root, path) for path in paths]
        if curved and not any(map(_curved, expressions)):
            return None
        left = iter(expressions)
        inputs = [next(left) if isinstance(item, Value) else float(np.ravel(item)[0]) for item in placed]
        made = combination(*inputs)
    except HwquantError as error:
        raise build.refuse(str(error)) from None
    return replace(first, tensor=build.emit(Function(build.unique(name), (root,), made)))


def _seen_alike(build: Builder, one: Value, other: Value) -> bool:
    """Whether two values see tensors of one shape in the same order."""
    return (
        one.shape == other.shape
        and build.shapes[one.tensor] == build.shapes[other.tensor]
        and np.array_equal(one.indices(), other.indices())
    )


def _path(build: Builder, tensor: str) -> list[tuple[str, Expression]]:
    """The tensors that a tensor is a function of, itself first, each with the function of the next that it is."""
    path: list[tuple[str, Expression]] = []
    while len(path) < LONGEST_PATH:
        node = None if tensor in build.formats else build.producer(tensor)
        inner = None
        match node:
            case Function():
                inner = node.expression
            case Clip():
                inner = bounded(Expression(), node.low, node.high)
            case Affine() if (numbers := node.numbers()) is not None:
                inner = mapped(*numbers)
        path.append((tensor, inner or Expression()))
        if node is None or inner is None:
            break
        (tensor,) = node.inputs
    return path


def _from(root: str, path: Sequence[tuple[str, Expression]]) -> Expression:
    """What the first tensor of a path is as a function of one behind it."""
    expression = Expression()
    for tensor, inner in path:
        if tensor == root:
            break
        expression = expression.of(inner)
    return expression


def _curved(expression: Expression) -> bool:
    """Whether an expression has an operation that only a Function computes."""
    return any(
        item.operator not in _LINEAR or all(not isinstance(part, float) for part in item.operands)
        for item in expression.operations
    )
