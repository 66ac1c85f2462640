"""Trained networks that we did not make, on real data: onnxruntime gives every integer of the golden model."""

import os
from pathlib import Path

import pytest
from hwquant_testing.seeds import nightly

from hwquant.frontends import from_onnx
from hwquant.quantize import quantize

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HWQUANT_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not (DATA / "mlperf_tiny").is_dir(), reason=f"no data in {DATA}; set HWQUANT_DATA"
)


@pytest.mark.parametrize("options", [{}, {"per_channel": True, "bits": 4}], ids=str)
def test_mnist_conv(assert_equal, benchmark_module, options):
    datasets = benchmark_module("datasets")
    graph = from_onnx(DATA / "mnist_conv" / "model.onnx")
    calibration = datasets.mnist("train")[0][:100].reshape(-1, *graph.inputs[0].shape)
    images = datasets.mnist("t10k")[0][:500].reshape(-1, *graph.inputs[0].shape)
    assert_equal(quantize(graph, calibration, **options), images)


@pytest.mark.parametrize("name", ["kws", *nightly(("ic", "vww", "ad"))])
def test_mlperf_tiny(assert_equal, benchmark_module, name):
    networks = benchmark_module("mlperf_networks")
    data = networks.data(name)
    calibration = data.calibration[:50] if len(data.calibration) else data.x[-50:]
    assert_equal(quantize(from_onnx(networks.model(name)), calibration), data.reference)
