from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.quantize.weight_scheme import WeightScheme
from hwquant.quantize.weights import ideal_scale, quantize_weight

SETTINGS = settings(deadline=None, derandomize=True, max_examples=150)

weights = st.builds(
    lambda seed, out, size, middle, spread: (
        np.random.default_rng(seed).normal(middle, spread, (out, size, 1, 1)) * 10.0 ** (seed % 7 - 3)
    ),
    st.integers(0, 1 << 20),
    st.integers(1, 5),
    st.integers(1, 12),
    st.sampled_from([-3.0, -0.5, 0.0, 0.2, 2.0]),
    st.sampled_from([0.1, 1.0]),
)
schemes = st.builds(
    WeightScheme,
    bits=st.integers(1, 8),
    anchor=st.sampled_from(["min", "max"]),
    rounding=st.sampled_from(["round", "truncate"]),
    per_channel=st.booleans(),
)


def rows(array: np.ndarray, scheme: WeightScheme) -> np.ndarray:
    return array.reshape(len(array) if scheme.per_channel else 1, -1)


@SETTINGS
@given(weights, st.integers(2, 8), st.sampled_from(["min", "max"]), st.sampled_from(["round", "truncate"]))
def test_literal_range_is_the_published_equation(weight, bits, anchor, rounding):
    if weight.size == 1:
        return  # no range
    quantized = quantize_weight(weight, WeightScheme(bits, anchor, rounding, literal_range=True))
    low, high = weight.min(), weight.max()
    scale = (high - low) / (2**bits - 1)
    to_int = np.trunc if rounding == "truncate" else lambda x: np.floor(x + 0.5)
    half = 2 ** (bits - 1)
    unsigned = quantized.codes.astype(int) + half
    assert quantized.scale[0] == scale
    if anchor == "min":
        assert quantized.coding.offset[0] - half == to_int(low / scale)
        assert np.array_equal(unsigned, np.clip(np.floor((weight - low) / scale + 0.5), 0, 2**bits - 1))
    else:
        assert quantized.coding.offset[0] + half == to_int(high / scale)
        assert np.array_equal(unsigned, np.clip(np.floor((high - weight) / scale + 0.5), 0, 2**bits - 1))
    off = 0.5 if rounding == "round" else 1.0
    assert np.abs(quantized.dequantize() - weight).max() <= (0.5 + off) * scale * (1 + 1e-9)


@SETTINGS
@given(weights, schemes)
def test_dequantized_weights_are_within_half_a_step(weight, scheme):
    quantized = quantize_weight(weight, scheme)
    error = rows(np.abs(quantized.dequantize() - weight), scheme) / quantized.scale[:, None]
    # A truncated offset costs the end of the range up to one step more.
    assert error.max() <= (0.5 if scheme.rounding == "round" else 1.5) + 1e-6


@SETTINGS
@given(weights, schemes)
def test_scale_is_the_range_over_the_greatest_code(weight, scheme):
    part = rows(weight, scheme)
    low, high = np.minimum(part.min(axis=1), 0), np.maximum(part.max(axis=1), 0)
    expected = (high - low) / (2**scheme.bits - 1)
    scale = ideal_scale(weight, scheme)
    if scheme.per_channel and scheme.bits == 8:
        # One step of the range is given up where the offset would not fit 8 bits.
        assert np.all((scale >= expected) & (scale <= expected * 255 / 254 * (1 + 1e-12)))
    else:
        assert np.allclose(scale, expected, rtol=1e-12, atol=0)


@SETTINGS
@given(weights, schemes, st.booleans(), st.floats(0.2, 3))
def test_storage_offset_and_adjusted_width_hold_at_every_scale(weight, scheme, literal, factor):
    scheme = replace(scheme, literal_range=literal)
    quantized = quantize_weight(weight, scheme, ideal_scale(weight, scheme) * factor)
    half = 1 << (scheme.bits - 1)
    assert quantized.codes.dtype == np.int8
    assert quantized.codes.min() >= -half
    assert quantized.codes.max() <= half - 1
    # n + 1 signed bits, whatever the code
    codes = np.array([-half, half - 1])
    offset = quantized.coding.offset
    ends = offset[:, None] - codes if scheme.anchor == "max" else offset[:, None] + codes
    assert (quantized.coding.limits == np.array([ends.min(axis=1), ends.max(axis=1)])).all()
    if not literal:
        assert ends.min() >= -(1 << scheme.bits)
        assert ends.max() <= (1 << scheme.bits) - 1
    if scheme.per_channel:
        assert offset.min() >= -128
        assert offset.max() <= 127


@SETTINGS
@given(weights, schemes, st.booleans(), st.floats(0.2, 3), st.integers(0, 1000))
def test_pruned_weights_stay_exactly_zero(weight, scheme, literal, factor, seed):
    scheme = replace(scheme, literal_range=literal)
    weight = np.where(np.random.default_rng(seed).random(weight.shape) < 0.5, 0.0, weight)
    scale = ideal_scale(weight, scheme) * factor
    quantized = quantize_weight(weight, scheme, np.where(scale > 0, scale, 1.0))
    assert not quantized.adjusted[weight == 0].any()


@SETTINGS
@given(weights, st.integers(2, 8), st.sampled_from(["min", "max"]), st.booleans())
def test_symmetric_has_no_offset(weight, bits, anchor, per_channel):
    scheme = WeightScheme(bits, anchor, symmetric=True, per_channel=per_channel)
    quantized = quantize_weight(weight, scheme)
    limit = 2 ** (bits - 1) - 1
    assert not quantized.coding.offset.any()
    assert np.abs(quantized.codes.astype(int)).max() == limit
    error = rows(np.abs(quantized.dequantize() - weight), scheme) / quantized.scale[:, None]
    assert error.max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "scheme", [WeightScheme(), WeightScheme(symmetric=True), WeightScheme(literal_range=True)]
)
@pytest.mark.parametrize("value", [0.0, 0.7, -0.3])
def test_equal_weights_come_back(scheme, value):
    quantized = quantize_weight(np.full((3, 2, 1, 1), value), scheme)
    assert np.allclose(quantized.dequantize(), value, rtol=1e-12, atol=0)


def test_clipping_offset_is_the_one_with_the_least_error():
    # 40 equal weights at one end, a lone one at the other end of the range: that one must be clipped.
    weight = np.append(np.full(40, 1.0), -1.0).reshape(1, -1, 1, 1)
    scheme = WeightScheme(4)
    quantized = quantize_weight(weight, scheme, ideal_scale(weight, scheme) / 1.6)
    assert np.abs(quantized.dequantize()[weight == 1.0] - 1).max() <= quantized.scale[0] / 2
    favoured = quantize_weight(
        weight, scheme, ideal_scale(weight, scheme) / 1.6, np.where(weight < 0, 1e6, 1.0)
    )
    assert np.abs(favoured.dequantize()[weight == -1.0] + 1).max() <= favoured.scale[0] / 2


def test_one_bit_keeps_zero_and_one_other_value():
    quantized = quantize_weight(np.array([0.9, 1.0, 0.1, 0.0]).reshape(1, 4, 1, 1), WeightScheme(1))
    assert quantized.adjusted.ravel().tolist() == [1, 1, 0, 0]


def test_literal_channel_offsets_that_do_not_fit_take_the_stretched_range():
    weight = np.array([[0.99, 1.0], [0.1, 1.0]]).reshape(2, 2, 1, 1)
    quantized = quantize_weight(weight, WeightScheme(per_channel=True, literal_range=True))
    assert quantized.coding.offset.max() <= 127
    assert quantized.scale[0] == pytest.approx(1 / 254)


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(HwquantError, match="NaN or an infinity"):
        quantize_weight(np.array([[np.nan]]), WeightScheme())
