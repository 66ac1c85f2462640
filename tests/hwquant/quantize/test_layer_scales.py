import numpy as np
import pytest

from hwquant.quantize.assemble import quantize_terms
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


def layer(*terms):
    return LayerPlan("sum", terms, np.zeros(2), ("sum",))


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
    plan = layer(TermPlan("c", "a", weight, groups=2), identity("a"))
    schemes = [WeightScheme(8, per_channel=True)] * 2
    scales = {"a": activation(1.0), "sum": activation(1.0)}
    chosen = layer_scales(plan, schemes, [ONE] * 2, scales, QuantizeOptions(per_channel=True))
    conv, unit = quantize_terms(plan, schemes, chosen, [ONE] * 2)
    assert chosen.shift[1] > chosen.shift[0]
    assert np.array_equal(unit.weight.ravel() << unit.shift, 1 << chosen.shift)
    real = conv.weight.ravel() * 2.0 ** (conv.shift - chosen.shift)
    assert np.allclose(real, weight.ravel(), rtol=0.01)


def test_multiplier_of_a_single_term_uses_the_ideal_scale():
    weight = np.array([0.9, -0.1]).reshape(2, 1, 1, 1)
    plan = layer(TermPlan("c", "a", weight, groups=2))
    scales = {"a": activation(0.3), "sum": activation(0.7)}
    options = QuantizeOptions(scales="multiplier")
    chosen = layer_scales(plan, [WeightScheme()], [ONE], scales, options)
    assert chosen.weight_scales[0][0] == 1.0 / 255
    assert chosen.multiplier is not None
    assert chosen.multiplier * 2.0**-chosen.shift == pytest.approx(0.3 / 255 / 0.7, rel=2**-15)
