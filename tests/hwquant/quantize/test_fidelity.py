import math

import numpy as np
import pytest

from hwquant import floating, golden
from hwquant.quantize import calibration, quantize
from hwquant.quantize.fuse import plan_layers


def test_signal_to_noise_is_measured_tensor_by_tensor(graph, samples, monkeypatch):
    monkeypatch.setattr(calibration, "_BATCH_ELEMENTS", 20000)  # several batches
    qgraph = quantize(graph, samples)
    names = list(qgraph.tensors)
    exact = floating.run(plan_layers(graph).graph, samples, keep=names)
    integers = golden.run(qgraph, golden.quantize_input(qgraph, samples), keep=names)
    for name in names:
        error = qgraph.tensors[name].dequantize(integers[name]) - exact[name]
        expected = 10 * math.log10(np.square(exact[name]).sum() / np.square(error).sum())
        assert qgraph.options["tensors"][name]["sqnr_db"] == pytest.approx(expected, abs=0.01)


def test_tensors_without_noise_have_no_ratio(build):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8))
    assert quantize(build("chain", 0), pixels).options["tensors"]["x"]["sqnr_db"] is None
