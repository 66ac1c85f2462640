import numpy as np
import pytest

from hwquant.qgraph import Tensor
from hwquant.quantize.activations import best_scale, quantization_noise, value_range, zero_points
from hwquant.quantize.calibration import observe


@pytest.fixture(name="statistics")
def _statistics(build):
    def of(x):
        return observe(build("chain", 0), {"x": np.broadcast_to(x, (len(x), 3, 8, 8))}, ["x"])["x"]

    return of


def normal(seed=0):
    return np.random.default_rng(seed).normal(0, 1, (100, 3, 8, 8))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("low", [0.0, -1.0, -6.0])
def test_unclipped_scale_represents_the_range(statistics, bits, low):
    x = np.clip(normal(), low, None)
    noise, exponent, zero_point = best_scale([statistics(x)], (min(0, x.min()), x.max()), 1.37, bits, False)
    scale = np.ldexp(1.37, exponent)
    tensor = Tensor("x", (3, 8, 8), scale, zero_point, bits)
    assert tensor.limits[0] <= zero_point <= tensor.limits[1]
    # One step at most where the zero point had to be rounded.
    assert np.abs(tensor.dequantize(tensor.quantize(x)) - x).max() <= scale * 1.01
    assert noise > 0
    # A scale half as large would not do.
    assert scale / 2 * (2**bits - 0.5) < x.max() - min(0, x.min())


def test_relu_outputs_use_all_codes():
    assert zero_points(0.0, 10.0, 0.1, 8) == [-128]
    assert zero_points(-10.0, 0.0, 0.1, 8) == [127]


@pytest.mark.parametrize("bits", [3, 5, 8])
@pytest.mark.parametrize("scale", [0.02, 0.1, 0.5])
def test_estimated_noise_is_the_measured_one(statistics, bits, scale):
    x = np.maximum(normal(), 0)
    tensor = Tensor("x", (3, 8, 8), scale, -(1 << (bits - 1)), bits)
    measured = np.var(tensor.dequantize(tensor.quantize(x)) - x)
    estimate = quantization_noise(statistics(x), scale, tensor.zero_point, bits)
    assert estimate == pytest.approx(measured, rel=0.25)


def test_noise_of_known_values_is_exact(statistics):
    x = np.random.default_rng(1).integers(0, 256, (40, 3, 8, 8)).astype(float)
    assert quantization_noise(statistics(x), 1.0, -128, 8) == 0
    tensor = Tensor("x", (3, 8, 8), 1.3, -128, 8)
    measured = np.var(tensor.dequantize(tensor.quantize(x)) - x)
    assert quantization_noise(statistics(x), 1.3, -128, 8) == pytest.approx(measured)


def test_clipping_pays_at_few_bits(statistics):
    x = normal() ** 3
    seen = statistics(x)
    kept, _, _ = best_scale([seen], (x.min(), x.max()), 1.0, 3, False)
    clipped, _, _ = best_scale([seen], (x.min(), x.max()), 1.0, 3, True)
    assert clipped < kept


def test_percentile_cuts_outliers(statistics):
    x = np.clip(normal(), -1, 1)
    x[0, 0, 0, 0] = 50
    low, high = value_range([statistics(x)], 99.9)
    assert low == pytest.approx(-1, abs=0.05)
    assert high == pytest.approx(1, abs=0.05)
    assert value_range([statistics(x)])[1] == 50
