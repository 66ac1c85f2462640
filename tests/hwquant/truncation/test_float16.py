"""Float16 rounding is numpy's; what does not fit is named."""

import numpy as np
import pytest

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.interface import Input, Output
from hwquant.truncation import float16


def network(weight=1.0, bias=0.0):
    conv = Conv("conv", ("x",), np.full((1, 1, 1, 1), weight), np.array([bias]))
    return Graph("net", (Input("x", (1, 1, 1), (1, 1, 1)),), (conv,), (Output("y", "conv", (1,)),))


def test_parameters_are_the_nearest_float16(build):
    graph = build("residual", 0)
    truncated = float16.truncate_parameters(graph)
    for before, after in zip(graph.nodes, truncated.nodes, strict=True):
        if isinstance(before, Conv):
            np.testing.assert_array_equal(after.weight, before.weight.astype(np.float32).astype(np.float16))
            np.testing.assert_array_equal(after.bias, before.bias.astype(np.float32).astype(np.float16))
            assert after.weight.dtype == np.float64
        else:
            assert after is before


def test_every_tensor_is_a_float16_number_close_to_the_real_one(build, samples):
    graph = build("concat", 0)
    tensors = float16.run(float16.truncate_parameters(graph), {"x": samples})
    exact = floating.run(graph, samples, keep=graph.shapes)
    assert tensors.keys() == exact.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(value, value.astype(np.float16))
        np.testing.assert_allclose(value, exact[name], atol=2e-2)
        assert value.shape == exact[name].shape


@pytest.mark.parametrize(
    ("options", "message"), [({"weight": 7e4}, "weight of 'conv'"), ({"bias": -7e4}, "bias of 'conv'")]
)
def test_parameters_beyond_float16_are_named(options, message):
    with pytest.raises(HwquantError, match=f"the {message} exceeds 65504"):
        float16.truncate_parameters(network(**options))


def test_tensors_beyond_float16_are_named():
    with pytest.raises(HwquantError, match="tensor 'conv' exceeds 65504"):
        float16.run(network(weight=1000.0), {"x": np.full((1, 1, 1, 1), 100.0)})
    with pytest.raises(HwquantError, match="input 'x' exceeds 65504"):
        float16.run(network(), {"x": np.full((1, 1, 1, 1), 1e6)})
