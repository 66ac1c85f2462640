"""ONNX's operators that are functions of one variable, and those that choose between values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hwquant.expression import Expression, apply, choose
from hwquant.frontends import activations
from hwquant.frontends.declaration import USED
from hwquant.frontends.functions import Combination, combined, function
from hwquant.frontends.onnx_call import OnnxCall, Operator
from hwquant.frontends.onnx_types import REAL, TRUTH
from hwquant.frontends.values import Value

X = Expression()


def _of(make: Callable[[Mapping[str, Any]], Expression], *attributes: str, name: str = "X") -> Operator:
    """An operator of one input; ``make`` gives its function for its attributes."""

    def translate(call: OnnxCall) -> Value:
        try:
            return function(call.build, call.name, call.value(), make(call.attributes))
        except ZeroDivisionError:
            raise call.build.refuse("it divides by its attribute, which is 0") from None

    return Operator(translate, {name: REAL}, dict.fromkeys(attributes, USED))


def _fixed(expression: Expression, name: str = "input") -> Operator:
    return _of(lambda _: expression, name=name)


def _choice(combination: Combination, inputs: Mapping[str, frozenset[str]]) -> Operator:
    """A comparison, a logical operator, or Where, of functions of one tensor and single numbers."""

    def translate(call: OnnxCall) -> Value:
        operands = [call.any(index) for index in range(len(call.inputs))]
        made = combined(call.build, call.name, combination, operands)
        if made is None:
            raise call.build.refuse_operator("where")
        return made

    return Operator(translate, inputs)


def _not(condition: Expression) -> Expression:
    return choose(condition, 0.0, 1.0)


_PAIR = {"A": REAL, "B": REAL}
_TRUTHS = {"A": TRUTH, "B": TRUTH}

POINTWISE: Mapping[str, Operator] = {
    "Abs": _fixed(apply("absolute", X), "X"),
    "Acos": _fixed(apply("acos", X)),
    "Acosh": _fixed(apply("acosh", X)),
    "And": _choice(lambda a, b: apply("minimum", a, b), _TRUTHS),
    "Asin": _fixed(apply("asin", X)),
    "Asinh": _fixed(apply("asinh", X)),
    "Atan": _fixed(apply("atan", X)),
    "Atanh": _fixed(apply("atanh", X)),
    "Ceil": _fixed(apply("ceil", X), "X"),
    "Celu": _of(lambda a: activations.celu(a["alpha"]), "alpha"),
    "Cos": _fixed(apply("cos", X)),
    "Cosh": _fixed(apply("cosh", X)),
    "Elu": _of(lambda a: activations.elu(a["alpha"]), "alpha"),
    "Equal": _choice(activations.equal, _PAIR),
    "Erf": _fixed(apply("erf", X)),
    "Exp": _fixed(apply("exp", X)),
    "Floor": _fixed(apply("floor", X), "X"),
    "Gelu": _of(lambda a: activations.gelu(a["approximate"]), "approximate"),
    "Greater": _choice(activations.greater, _PAIR),
    "GreaterOrEqual": _choice(activations.at_least, _PAIR),
    "HardSigmoid": _of(lambda a: activations.hard_sigmoid(a["alpha"], a["beta"]), "alpha", "beta"),
    "HardSwish": _fixed(activations.hard_swish(), "X"),
    "Less": _choice(lambda a, b: activations.greater(b, a), _PAIR),
    "LessOrEqual": _choice(lambda a, b: activations.at_least(b, a), _PAIR),
    "Log": _fixed(apply("log", X)),
    "Mish": _fixed(activations.mish(), "X"),
    "Not": _choice(_not, {"X": TRUTH}),
    "Or": _choice(lambda a, b: apply("maximum", a, b), _TRUTHS),
    "Reciprocal": _fixed(apply("divide", 1.0, X), "X"),
    "Round": _fixed(apply("round", X), "X"),
    "Selu": _of(lambda a: activations.selu(a["alpha"], a["gamma"]), "alpha", "gamma"),
    "Shrink": _of(lambda a: activations.shrink(a["lambd"], a["bias"]), "lambd", "bias", name="input"),
    "Sigmoid": _fixed(activations.sigmoid(), "X"),
    "Sign": _fixed(apply("sign", X)),
    "Sin": _fixed(apply("sin", X)),
    "Sinh": _fixed(apply("sinh", X)),
    "Softplus": _fixed(activations.softplus(), "X"),
    "Softsign": _fixed(activations.softsign()),
    "Sqrt": _fixed(apply("sqrt", X), "X"),
    "Swish": _of(lambda a: activations.swish(a["alpha"]), "alpha"),
    "Tan": _fixed(apply("tan", X)),
    "Tanh": _fixed(apply("tanh", X)),
    "ThresholdedRelu": _of(lambda a: activations.thresholded(a["alpha"]), "alpha"),
    "Where": _choice(choose, {"condition": TRUTH, "X": REAL, "Y": REAL}),
    "Xor": _choice(lambda a, b: choose(activations.equal(a, b), 0.0, 1.0), _TRUTHS),
}
"""By the operators' names."""
