import math

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.quantize.assemble import assemble_layer, quantize_terms
from hwquant.quantize.formats import Scale, TensorFormat
from hwquant.quantize.layer_scales import layer_scales
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.weight_scheme import WeightScheme

ONE = np.ones(())


def activation(scale, zero_point=0, bits=8):
    return TensorFormat(Scale.of(scale), zero_point, bits, -1.0, 1.0)


def identity(source):
    return TermPlan("sum", source, np.ones((2, 1, 1, 1)), groups=2, unit=1.0)


def layer(*terms, bias=0.0, low=-math.inf, high=math.inf):
    return LayerPlan("sum", terms, np.full(2, bias), ("sum",), low, high)


@pytest.mark.parametrize(
    ("low", "high", "clamp"),
    [
        (-math.inf, math.inf, (-128, 127)),
        (0.0, math.inf, (-28, 127)),
        (0.0, 6.0, (-28, -16)),
        (-1.0, 1000.0, (-30, 127)),
        (0.26, 0.3, (-27, -27)),
    ],
)
def test_clip_bounds_become_the_clamp(low, high, clamp):
    plan = layer(identity("a"), low=low, high=high)
    scales = {"a": activation(0.5), "sum": activation(0.5, -28)}
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, QuantizeOptions())
    terms = quantize_terms(plan, [WeightScheme()], chosen, [ONE])
    made = assemble_layer(plan, terms, chosen, np.zeros(()), scales)
    assert (made.low, made.high) == clamp


def test_bias_counts_in_steps_of_the_accumulator():
    weight = np.full((2, 1, 1, 1), 0.5)
    plan = layer(TermPlan("c", "a", weight, groups=2), bias=3.0)
    scales = {"a": activation(0.5), "sum": activation(0.25)}
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, QuantizeOptions())
    terms = quantize_terms(plan, [WeightScheme()], chosen, [ONE])
    made = assemble_layer(plan, terms, chosen, np.array([0.0, 1.0]), scales)
    assert np.allclose(made.bias * 0.25 * 2.0**-made.shift, [3.0, 4.0], atol=0.01)


def test_a_bias_that_no_integer_holds_is_refused():
    plan = layer(identity("a"), bias=1e30)
    scales = {"a": activation(0.5), "sum": activation(0.5)}
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, QuantizeOptions())
    with pytest.raises(HwquantError, match="bias of layer 'sum' is out of proportion"):
        assemble_layer(plan, [], chosen, np.zeros(()), scales)
