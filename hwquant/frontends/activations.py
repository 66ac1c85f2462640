"""The activation functions that ONNX and torch name, spelled in the operations of :mod:`hwquant.expression`."""

from __future__ import annotations

import math

from hwquant.expression import Expression, apply, bounded, choose

X = Expression()
"""The variable."""

SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805
"""The constants of SELU (Klambauer et al., Self-normalizing neural networks, 2017)."""


def positive(x: Expression) -> Expression:
    """``max(x, 0)``."""
    return apply("maximum", x, 0.0)


def sigmoid(x: Expression = X) -> Expression:
    """``1 / (1 + exp(-x))``."""
    return apply("sigmoid", x)


def softplus(beta: float = 1.0, threshold: float = math.inf) -> Expression:
    """``log(1 + exp(beta x)) / beta``, and ``x`` where ``beta x`` is above the threshold."""
    smooth = apply("softplus", X * beta) / beta if beta != 1.0 else apply("softplus", X)
    return smooth if threshold == math.inf else choose(greater(X * beta, threshold), X, smooth)


def leaky(slope: float) -> Expression:
    """``x`` where it is positive, else ``slope * x``."""
    return positive(X) + apply("minimum", X, 0.0) * slope


def elu(alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Expression:
    """``scale * x`` where that is positive, else ``scale * alpha * (exp(input_scale * x) - 1)``."""
    below = (apply("exp", apply("minimum", X, 0.0) * input_scale) - 1.0) * (alpha * scale)
    return positive(X) * scale + below


def selu(alpha: float = SELU_ALPHA, gamma: float = SELU_GAMMA) -> Expression:
    """ELU with the constants that keep mean and variance."""
    return elu(alpha, gamma)


def celu(alpha: float = 1.0) -> Expression:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    return elu(alpha, input_scale=1.0 / alpha)


def hard_sigmoid(alpha: float, beta: float) -> Expression:
    """``alpha * x + beta``, clipped to 0..1."""
    return bounded(X * alpha + beta, 0.0, 1.0)


def hard_swish() -> Expression:
    """``x * clip(x + 3, 0, 6) / 6``."""
    return X * bounded(X + 3.0, 0.0, 6.0) / 6.0


def swish(alpha: float = 1.0) -> Expression:
    """``x * sigmoid(alpha * x)``, SiLU where ``alpha`` is 1."""
    return X * sigmoid(X if alpha == 1.0 else X * alpha)


def gelu(approximate: str = "none") -> Expression:
    """``x`` times the normal distribution's integral up to ``x``, exactly or ("tanh") nearly."""
    if approximate == "tanh":
        inner = (X + X * X * X * 0.044715) * math.sqrt(2 / math.pi)
        return X * (apply("tanh", inner) + 1.0) * 0.5
    return X * (apply("erf", X * math.sqrt(0.5)) + 1.0) * 0.5


def mish() -> Expression:
    """``x * tanh(softplus(x))``."""
    return X * apply("tanh", softplus())


def softsign() -> Expression:
    """``x / (1 + |x|)``."""
    return X / (apply("absolute", X) + 1.0)


def thresholded(threshold: float, otherwise: float = 0.0) -> Expression:
    """``x`` above a threshold, else another number."""
    return choose(greater(X, threshold), X, otherwise)


def shrink(limit: float, bias: float) -> Expression:
    """0 up to a limit on either side of 0, and beyond it ``x`` moved towards 0 by the bias."""
    return choose(greater(X, limit), X - bias, choose(greater(-limit, X), X + bias, 0.0))


def log_sigmoid() -> Expression:
    """``log(sigmoid(x))``, in a form that does not underflow."""
    return apply("negative", apply("softplus", apply("negative", X)))


def greater(a: Expression | float, b: Expression | float) -> Expression:
    """1 where ``a > b``, else 0."""
    return apply("if_greater", a, b, 1.0, 0.0)


def at_least(a: Expression | float, b: Expression | float) -> Expression:
    """1 where ``a >= b``, else 0."""
    return apply("if_greater", b, a, 0.0, 1.0)


def equal(a: Expression | float, b: Expression | float) -> Expression:
    """1 where ``a == b``, else 0."""
    return apply("if_equal", a, b, 1.0, 0.0)
