import numpy as np
import pytest

from hwquant.errors import Unsupported
from hwquant.quantize.single_bit import loses_signs
from hwquant.quantize.weight_scheme import WeightScheme
from hwquant.quantize.weights import quantize_weight

SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0]).reshape(2, 3, 1, 1)


@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"literal_range": True}, {"anchor": "max"}])
@pytest.mark.parametrize(
    "weight",
    [
        np.array([-1.0, 1.0, -1.0, 1.0]),
        0.3 * SIGNS,
        SIGNS * [[[[0.2]]], [[[0.7]]]],
        SIGNS * (SIGNS[:, ::-1] > 0),
    ],
    ids=["vector", "layer", "channels", "pruned"],
)
def test_one_bit_for_weights_of_both_signs_and_one_size_is_refused_on_a_mid_tread_grid(weight, options):
    scheme = WeightScheme(1, **options, grid="mid_tread")
    if weight.ndim == 1 and options.get("per_channel"):  # a weight a channel: each has one sign
        assert np.array_equal(quantize_weight(weight, scheme).dequantize(), weight)
        return
    with pytest.raises(Unsupported, match=r"weights are \+a and -a, and a single bit .* the grid mid_rise"):
        quantize_weight(weight, scheme)
    exact = quantize_weight(weight, WeightScheme(2, symmetric=True, per_channel=True))
    assert np.allclose(exact.dequantize(), weight)
    if weight.all():
        assert np.allclose(quantize_weight(weight, WeightScheme(1, **options)).dequantize(), weight)


@pytest.mark.parametrize(
    "weight",
    [np.abs(SIGNS), -np.abs(SIGNS), (SIGNS > 0) * 0.4, SIGNS * (1 + np.arange(6).reshape(SIGNS.shape) / 10)],
    ids=["all positive", "all negative", "0 and a", "of many sizes"],
)
def test_one_bit_holds_weights_of_one_sign_or_of_many_sizes(weight):
    assert not loses_signs(weight, WeightScheme(1))
    quantize_weight(weight, WeightScheme(1))
    assert not loses_signs(SIGNS, WeightScheme(2))
