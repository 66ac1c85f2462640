import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends.arithmetic import binary, bounds
from hwquant.frontends.builder import Builder
from hwquant.frontends.tensors import ANY_BATCH

X = np.random.default_rng(0).standard_normal((3, 2, 4))
OPERATORS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("shape", [(), (4,), (2, 1), (1, 2, 4)])
def test_a_constant_on_the_right(kind, shape):
    build = Builder("net", ANY_BATCH)
    constant = np.random.default_rng(1).standard_normal(shape)
    build.output("y", binary(build, "n", kind, build.input("x", (2, 4)), constant))
    np.testing.assert_allclose(predict(build.graph(), X)[0], OPERATORS[kind](X, constant), rtol=1e-12)


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
def test_a_constant_on_the_left(kind):
    build = Builder("net", ANY_BATCH)
    build.output("y", binary(build, "n", kind, np.asarray(3.0), build.input("x", (2, 4))))
    np.testing.assert_allclose(predict(build.graph(), X)[0], OPERATORS[kind](3.0, X), rtol=1e-12)


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
def test_two_activations(kind):
    build = Builder("net", ANY_BATCH)
    build.output("y", binary(build, "n", kind, build.input("a", (2, 4)), build.input("b", (2, 4))))
    got = predict(build.graph(), {"a": X, "b": 2 * X + 1})[0]
    np.testing.assert_allclose(got, OPERATORS[kind](X, 2 * X + 1), rtol=1e-12)


@pytest.mark.parametrize("kind", OPERATORS)
def test_two_constants_are_computed(kind):
    build = Builder("net", ANY_BATCH)
    got = binary(build, "n", kind, np.asarray([1.0, 2.0]), np.asarray(4.0))
    np.testing.assert_array_equal(got, OPERATORS[kind]([1.0, 2.0], 4.0))


def test_what_the_hardware_cannot_is_refused():
    build = Builder("net", ANY_BATCH)
    x, other = build.input("x", (2, 4)), build.input("other", (2, 4))
    for kind, left, right, message in (
        (
            "mul",
            x,
            build.input("another", (2, 3)),
            r"shapes \(2, 2, 4\), \(2, 2, 3\) do not fit",
        ),
        ("div", x, other, r"it divides two activations"),
        ("pow", x, other, r"it takes powers of two activations"),
        ("div", np.asarray([1.0, 2.0, 3.0, 4.0]), x, r"must be one number for all elements"),
        ("pow", x, np.asarray([1.0, 2.0, 3.0, 4.0]), r"must be one number for all elements"),
        ("div", x, np.asarray([1.0, 0.0, 1.0, 1.0]), r"it divides by zero"),
        ("mul", x, np.asarray(np.inf), r"a constant that is not finite"),
        ("add", x, np.zeros((3, 1, 1)), r"\(3, 1, 1\) does not fit a sample of shape \(2, 4\)"),
        ("add", x, np.zeros((1, 5, 2, 4)), r"does not fit a sample"),
    ):
        with pytest.raises(HwquantError, match=message):
            binary(build, "n", kind, left, right)


def test_limits_are_clips_and_one_value_alone_is_itself():
    build = Builder("net", ANY_BATCH)
    x = build.input("x", (2, 4))
    clipped = bounds(build, "n", "max", [x, np.asarray(0.25), np.asarray([-1.0])])
    build.output("y", bounds(build, "n", "min", [np.asarray(0.5), clipped]))
    np.testing.assert_allclose(predict(build.graph(), X)[0], np.clip(X, 0.25, 0.5))
    assert bounds(build, "n", "max", [x]) is x
    for values in ([x, np.zeros(3)], [np.zeros(1)]):
        with pytest.raises(
            HwquantError, match=r"elementwise max is only supported of activations and single"
        ):
            bounds(build, "n", "max", values)


@pytest.mark.parametrize("kind", ["max", "min"])
def test_limits_that_a_clip_is_not_are_refused(kind):
    build = Builder("net", ANY_BATCH)
    x = build.input("x", (2, 4))
    with pytest.raises(HwquantError, match=r"a number of more dimensions than the activation"):
        bounds(build, "n", kind, [x, np.zeros((1, 1, 1, 1))])
    for order in (1, -1):
        numbers = [np.asarray(0.5), np.asarray(np.nan)][::order]
        with pytest.raises(HwquantError, match=rf"its {kind} with NaN is NaN"):
            bounds(build, "n", kind, [x, *numbers])
