"""Trained networks that we did not make, on real data: nothing to warn of with default options."""

import os
from pathlib import Path

import pytest
from hwquant_testing.seeds import nightly

from hwquant.clipping import check_inputs
from hwquant.frontends import from_onnx
from hwquant.quantize import quantize

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HWQUANT_DATA", ROOT.parent / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not (DATA / "mlperf_tiny").is_dir(), reason=f"no data in {DATA}; set HWQUANT_DATA"
)


@pytest.mark.parametrize("name", ["ad", *nightly(("kws", "ic", "vww"))])
def test_mlperf_tiny_is_silent(benchmark_module, name):
    networks = benchmark_module("mlperf_networks")
    data = networks.data(name)
    calibration = data.calibration[:100] if len(data.calibration) else data.x[1::2][:100]
    qgraph = quantize(
        from_onnx(networks.model(name)), calibration
    )  # 8 bits: no channels but drowned ones change
    assert qgraph.options["warnings"] == []
    assert "equalized" not in qgraph.options
    for samples in (data.reference, data.x[::2][:200]):
        assert check_inputs(qgraph, samples) == ()
