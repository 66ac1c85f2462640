import math

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.quantize.assemble import assemble_layer, layer_scales, quantize_terms
from hwquant.quantize.lattice import Scale
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.scales import ActivationScale
from hwquant.quantize.structure import LayerPlan, TermPlan
from hwquant.quantize.weights import WeightScheme
from hwquant.window import Window

ONE = np.ones(())


def activation(scale, zero_point=0, bits=8):
    return ActivationScale(Scale.of(scale), zero_point, bits, -1.0, 1.0)


def identity(source):
    return TermPlan("sum", source, np.ones((2, 1, 1, 1)), groups=2, unit=1.0)


def layer(*terms, bias=0.0, low=-math.inf, high=math.inf):
    return LayerPlan("sum", terms, np.full(2, bias), ("sum",), low, high)


@pytest.mark.parametrize("anchor", ["min", "max"])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_identity_weights_are_one_in_any_format(anchor, bits):
    plan, scheme = layer(identity("a"), identity("b")), WeightScheme(bits, anchor)
    scales = {"a": activation(0.25), "b": activation(2.0), "sum": activation(1.0)}
    chosen = layer_scales(plan, [scheme] * 2, [ONE] * 2, scales, QuantizeOptions())
    terms = quantize_terms(plan, [scheme] * 2, chosen, [ONE] * 2)
    assert all(np.all(term.weight == 1) for term in terms)
    half = 1 << (bits - 1)
    assert all(-half <= term.codes.min() <= term.codes.max() < half for term in terms)
    # a counts 0.25, b counts 2, the sum counts 1
    assert [term.shift for term in terms] == [0, 3]
    assert chosen.shift.tolist() == [2]


def test_channels_with_their_own_shift_scale_their_identity_weights():
    weight = np.array([1.0, 0.06]).reshape(2, 1, 1, 1)
    plan = layer(TermPlan("c", "a", weight, Window(weight.shape[2:]), groups=2), identity("a"))
    schemes = [WeightScheme(8, per_channel=True)] * 2
    scales = {"a": activation(1.0), "sum": activation(1.0)}
    chosen = layer_scales(plan, schemes, [ONE] * 2, scales, QuantizeOptions(per_channel=True))
    conv, unit = quantize_terms(plan, schemes, chosen, [ONE] * 2)
    assert chosen.shift[1] > chosen.shift[0]
    assert np.array_equal(unit.weight.ravel() << unit.shift, 1 << chosen.shift)
    real = conv.weight.ravel() * 2.0 ** (conv.shift - chosen.shift)
    assert np.allclose(real, weight.ravel(), rtol=0.01)


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
    made = assemble_layer(plan, terms, chosen, np.zeros(()), scales["sum"])
    assert (made.low, made.high) == clamp


def test_bias_counts_in_steps_of_the_accumulator():
    weight = np.full((2, 1, 1, 1), 0.5)
    plan = layer(TermPlan("c", "a", weight, Window(weight.shape[2:]), groups=2), bias=3.0)
    scales = {"a": activation(0.5), "sum": activation(0.25)}
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, QuantizeOptions())
    terms = quantize_terms(plan, [WeightScheme()], chosen, [ONE])
    made = assemble_layer(plan, terms, chosen, np.array([0.0, 1.0]), scales["sum"])
    assert np.allclose(made.bias * 0.25 * 2.0**-made.shift, [3.0, 4.0], atol=0.01)


def test_a_bias_that_no_integer_holds_is_refused():
    plan = layer(identity("a"), bias=1e30)
    scales = {"a": activation(0.5), "sum": activation(0.5)}
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, QuantizeOptions())
    with pytest.raises(HwquantError, match="bias of layer 'sum' is out of proportion"):
        assemble_layer(plan, [], chosen, np.zeros(()), scales["sum"])


def test_multiplier_of_a_single_term_uses_the_ideal_scale():
    weight = np.array([0.9, -0.1]).reshape(2, 1, 1, 1)
    plan = layer(TermPlan("c", "a", weight, Window(weight.shape[2:]), groups=2))
    scales = {"a": activation(0.3), "sum": activation(0.7)}
    options = QuantizeOptions(scales="multiplier")
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, options)
    assert chosen.weight_scales[0][0] == 1.0 / 255
    assert chosen.multiplier is not None
    assert chosen.multiplier * 2.0**-chosen.shift == pytest.approx(0.3 / 255 / 0.7, rel=2**-15)
