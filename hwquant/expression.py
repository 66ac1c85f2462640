"""Functions of one variable as data: what sigmoid, SiLU, GELU and all other activations are made of.

An :class:`Expression` is a list of operations on the variable, on constants and on the results of operations before,
so that ``x * sigmoid(x)`` has the variable once, however often it is read. It is evaluated with any set of functions:
numpy's here, those of torch in :mod:`hwquant.training`, and operators of ONNX in :mod:`hwquant.export`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError

Arithmetic = Literal["add", "subtract", "multiply", "divide", "power", "minimum", "maximum"]
Rounding = Literal["negative", "absolute", "sign", "floor", "ceil", "round"]
Growth = Literal["exp", "log", "sqrt", "erf", "tanh", "sigmoid", "softplus"]
Trigonometry = Literal["sin", "cos", "tan", "asin", "acos", "atan"]
Hyperbolic = Literal["sinh", "cosh", "asinh", "acosh", "atanh"]
Choice = Literal["if_greater", "if_equal"]
Operator = Arithmetic | Rounding | Growth | Trigonometry | Hyperbolic | Choice
"""What operations there are. "round" rounds half to even; a choice is ``a > b ? c : d``, or ``a == b ? c : d``."""

RISING = frozenset(
    {"sign", "floor", "ceil", "round", "exp", "log", "sqrt", "erf", "tanh", "sigmoid", "softplus"}
    | {"asin", "atan", "sinh", "asinh", "acosh", "atanh"}
)
"""Operators of one operand that never fall where it rises, wherever they are defined."""
MOST_OPERATIONS = 1000
"""Operations of an expression; a model with more is no activation function."""

LONGEST_TEXT = 60
"""Letters of a function that is written out."""

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """An operand that is not a constant.

    Attributes
    ----------
    number : int
        0 for the variable, ``i`` for the result of the ``i``-th operation, counted from 1.
    """

    number: int


Operand = Result | float


@dataclass(frozen=True)
class Operation:
    """An operator and what it is applied to.

    Attributes
    ----------
    operator : Operator
        The operator.
    operands : tuple of Result or float
        Its operands, in order.
    """

    operator: Operator
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Expression:
    """A function of one variable; without operations it is the variable itself.

    Attributes
    ----------
    operations : tuple of Operation, default empty
        The operations in order; the last one's result is the function's.
    """

    operations: tuple[Operation, ...] = ()

    def evaluate(self, x: T, functions: Mapping[str, Callable[..., Any]]) -> T:
        """Compute the function.

        Parameters
        ----------
        x : object
            The variable.
        functions : mapping of callable
            What computes an operation, by operator; a constant operand is a float.
        """
        results: list[Any] = [x]
        for operation in self.operations:
            operands = [
                results[item.number] if isinstance(item, Result) else item for item in operation.operands
            ]
            results.append(functions[operation.operator](*operands))
        return results[-1]  # type: ignore[no-any-return]

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Compute the function of each element, in the dtype of ``x``; NaN or infinite where it is not defined."""
        with np.errstate(all="ignore"):
            made = self.evaluate(x, NUMPY)
        return np.asarray(np.broadcast_to(made, x.shape), x.dtype)

    def of(self, inner: Expression) -> Expression:
        """Compose: the function of what ``inner`` gives."""
        joined = _Joined()
        joined.include(self, joined.include(inner, Result(0)))
        return joined.expression()

    @cached_property
    def rises(self) -> bool:
        """Whether it is known from its operations never to fall where the variable rises."""
        trends: list[Trend | None] = [1]
        for operation in self.operations:
            operands = [trends[item.number] if isinstance(item, Result) else 0 for item in operation.operands]
            trends.append(_trend(operation, operands))
        return trends[-1] in (0, 1)

    def __add__(self, other: Expression | float) -> Expression:
        return apply("add", self, other)

    def __sub__(self, other: Expression | float) -> Expression:
        return apply("subtract", self, other)

    def __mul__(self, other: Expression | float) -> Expression:
        return apply("multiply", self, other)

    def __truediv__(self, other: Expression | float) -> Expression:
        return apply("divide", self, other)

    def __str__(self) -> str:
        texts = ["x"]
        for operation in self.operations:
            operands = [
                texts[item.number] if isinstance(item, Result) else f"{item:g}" for item in operation.operands
            ]
            text = f"{operation.operator}({', '.join(operands)})"
            known = all(operands) and len(text) <= LONGEST_TEXT
            texts.append(text if known else "")  # what is shared would double it again and again
        return texts[-1] or f"a function of {len(self.operations)} operations"


def apply(operator: Operator, *operands: Expression | float) -> Expression:
    """Apply an operator to functions of the same variable, and to constants.

    Raises
    ------
    HwquantError
        The function would have more than :data:`MOST_OPERATIONS` operations.
    """
    joined = _Joined()
    joined.add(operator, tuple(joined.operand(item) for item in operands))
    return joined.expression()


def choose(condition: Expression, yes: Expression | float, no: Expression | float) -> Expression:
    """Choose between two values by a condition that is 1 or 0."""
    joined = _Joined()
    joined.choose(*(joined.operand(item) for item in (condition, yes, no)))
    return joined.expression()


def bounded(x: Expression, low: float, high: float) -> Expression:
    """Clip to a range: ``min(max(x, low), high)``; an infinite bound is none."""
    x = x if low == -math.inf else apply("maximum", x, low)
    return x if high == math.inf else apply("minimum", x, high)


class _Joined:
    """The operations of several expressions, each of them once."""

    def __init__(self) -> None:
        self.numbers: dict[Operation, int] = {}

    def operand(self, item: Expression | float) -> Operand:
        """Take in an expression of the variable, and return what its result is here; a constant is itself."""
        return self.include(item, Result(0)) if isinstance(item, Expression) else float(item)

    def include(self, item: Expression, variable: Result) -> Result:
        """Take in an expression of a variable, and return what its result is here."""
        known = [variable]
        for operation in item.operations:
            operands = (
                known[part.number] if isinstance(part, Result) else part for part in operation.operands
            )
            known.append(self.add(operation.operator, tuple(operands)))
        return known[-1]

    def add(self, operator: Operator, operands: tuple[Operand, ...]) -> Result:
        """Take in an operation."""
        number = self.numbers.setdefault(Operation(operator, operands), len(self.numbers) + 1)
        if number > MOST_OPERATIONS:
            raise HwquantError(
                f"a function of more than {MOST_OPERATIONS} operations is no activation function"
            )
        return Result(number)

    def choose(self, condition: Operand, yes: Operand, no: Operand) -> Result:
        """Take in ``condition ? yes : no`` of a condition that is 1 or 0: a comparison chooses by itself."""
        made = (
            list(self.numbers)[condition.number - 1]
            if isinstance(condition, Result) and condition.number
            else None
        )
        if made and made.operator in ("if_greater", "if_equal"):
            if made.operands[2:] == (1.0, 0.0):
                return self.add(made.operator, (*made.operands[:2], yes, no))
            if made.operands[2:] == (0.0, 1.0):
                return self.add(made.operator, (*made.operands[:2], no, yes))
        return self.add("if_greater", (condition, 0.5, yes, no))

    def expression(self) -> Expression:
        """The last operation, and all that it needs, as an expression."""
        operations = list(self.numbers)
        needed, pending = {0}, [len(operations)]
        while pending:
            number = pending.pop()
            if number not in needed:
                needed.add(number)
                pending += [
                    item.number for item in operations[number - 1].operands if isinstance(item, Result)
                ]
        places = {number: Result(place) for place, number in enumerate(sorted(needed))}
        return Expression(
            tuple(
                Operation(
                    made.operator,
                    tuple(
                        places[item.number] if isinstance(item, Result) else item for item in made.operands
                    ),
                )
                for number, made in enumerate(operations, 1)
                if number in needed
            )
        )


Trend = Literal[-1, 0, 1]
"""Of an operand where the variable rises: it never rises, is constant, or never falls; None where that is not known."""


def _trend(operation: Operation, trends: list[Trend | None]) -> Trend | None:
    """The trend of an operation's result, from those of its operands."""
    first, *others = trends
    second = others[0] if others else None
    match operation.operator:
        case name if name in RISING:
            return first
        case "negative":
            return _turned(first, -1)
        case "add" | "minimum" | "maximum":
            return _common(first, second)
        case "subtract":
            return _common(first, _turned(second, -1))
        case "multiply" | "divide":
            a, b = operation.operands
            if isinstance(b, float):
                return _turned(first, math.copysign(1.0, b))
            if isinstance(a, float) and operation.operator == "multiply":
                return _turned(second, math.copysign(1.0, a))
    return None


def _turned(trend: Trend | None, sign: float) -> Trend | None:
    if trend is None or sign > 0:
        return trend
    return {-1: 1, 0: 0, 1: -1}[trend]  # type: ignore[return-value]


def _common(one: Trend | None, other: Trend | None) -> Trend | None:
    """The trend of what rises with both operands."""
    if one is None or other is None or one * other < 0:
        return None
    return one or other


def _erf(x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64).astype(np.result_type(x))


NUMPY: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("add", "subtract", "multiply", "divide", "minimum", "maximum")},
    **{
        name: getattr(np, name)
        for name in ("negative", "absolute", "sign", "floor", "ceil", "exp", "log", "sqrt")
    },
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "power": np.power,
    "round": np.rint,
    "erf": _erf,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "if_greater": lambda a, b, c, d: np.where(np.greater(a, b), c, d),
    "if_equal": lambda a, b, c, d: np.where(np.equal(a, b), c, d),
}
"""How numpy computes operations, by operator."""
