"""Functions of one variable: composed, joined, evaluated in numpy and in torch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.expression import MOST_OPERATIONS, NUMPY, RISING, Expression, apply, bounded, choose
from hwquant.training.operators import function

X = Expression()
UNARY = sorted(
    name for name in NUMPY if name in RISING or name in ("negative", "absolute", "cos", "tan", "cosh")
)
BINARY = ("add", "subtract", "multiply", "divide", "minimum", "maximum")
GRID = np.linspace(-3, 3, 61)


@st.composite
def expressions(draw, depth=4):
    """A random function."""
    if depth == 0 or draw(st.booleans()):
        return X
    inner = expressions(depth=depth - 1)
    kind = draw(st.sampled_from(["unary", "binary", "constant", "choice"]))
    if kind == "unary":
        return apply(draw(st.sampled_from(UNARY)), draw(inner))
    if kind == "binary":
        return apply(draw(st.sampled_from(BINARY)), draw(inner), draw(inner))
    number = draw(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 3.0]))
    if kind == "constant":
        sides = draw(st.permutations([draw(inner), number]))
        return apply(draw(st.sampled_from(BINARY)), *sides)
    operator = draw(st.sampled_from(["if_greater", "if_equal"]))
    return apply(operator, draw(inner), number, draw(inner), draw(inner))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions(), expressions())
def test_a_composition_is_the_function_of_the_function(outer, inner):
    np.testing.assert_array_equal(outer.of(inner)(GRID), outer(inner(GRID)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions())
def test_torch_computes_the_same(expression):
    expected, got = expression(GRID), function(torch.from_numpy(GRID), expression).numpy()
    usual = np.isfinite(expected) & (np.abs(expected) < 1e6)
    np.testing.assert_allclose(got[usual], expected[usual], rtol=1e-6, atol=1e-6)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(expressions())
def test_what_is_known_never_to_fall_does_not(expression):
    y = expression(GRID)
    y = y[np.isfinite(y)]
    if expression.rises:
        assert (np.diff(y) >= -1e-9 * (1 + np.abs(y[1:]))).all(), str(expression)


def test_common_parts_are_there_once():
    gate = apply("sigmoid", X)
    assert (X * gate + gate).operations == (gate.operations[0], *(X * gate + gate).operations[1:])
    assert len((X * gate + gate).operations) == 3


def test_a_comparison_chooses_by_itself():
    below = apply("if_greater", 0.0, X, 1.0, 0.0)
    assert choose(below, 1.5, X) == apply("if_greater", 0.0, X, 1.5, X)
    other = apply("if_greater", 0.0, X, 0.0, 1.0)
    assert choose(other, 1.5, X) == apply("if_greater", 0.0, X, X, 1.5)
    both = apply("minimum", below, apply("if_greater", X, -1.0, 1.0, 0.0))
    np.testing.assert_array_equal(choose(both, 1.0, 2.0)(GRID), np.where((GRID < 0) & (GRID > -1), 1.0, 2.0))


@pytest.mark.parametrize(
    ("expression", "rises"),
    [
        (X, True),
        (bounded(X, 0.0, 6.0), True),
        (apply("sigmoid", X * 2.0 - 1.0), True),
        (apply("maximum", X, 0.0) + apply("minimum", X, 0.0) * 0.1, True),
        (apply("negative", apply("softplus", apply("negative", X))), True),
        (apply("negative", X), False),
        (X * apply("sigmoid", X), False),
        (apply("cos", X), False),
        (X / -2.0, False),
    ],
    ids=str,
)
def test_trends(expression, rises):
    assert expression.rises == rises


def test_models_that_are_no_activation_functions_are_refused():
    long = X
    for number in range(MOST_OPERATIONS):
        long = long + float(number)
    with pytest.raises(HwquantError, match=f"more than {MOST_OPERATIONS} operations"):
        apply("exp", long)


def test_a_function_is_written_out_where_that_is_short():
    assert str(X * apply("sigmoid", X)) == "multiply(x, sigmoid(x))"
    squares = X
    for _ in range(200):
        squares = squares * squares
    assert str(squares) == "a function of 200 operations"


def test_the_dtype_stays():
    assert apply("erf", X)(GRID.astype(np.float32)).dtype == np.float32
    assert apply("if_greater", X, 0.0, 1.0, 0.0)(GRID.astype(np.float32)).dtype == np.float32
