"""Trained networks that we did not make keep their accuracy in few bits, without training."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("HWQUANT_DATA", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not (DATA / "mlperf_tiny").is_dir(), reason=f"no data in {DATA}; set HWQUANT_DATA"),
]


@pytest.mark.parametrize(
    ("name", "bits", "settings", "least"),
    [("ic", 4, "per tensor, shifts", 86.5), ("kws", 3, "per channel, shifts", 88.0)],
)
def test_mlperf_tiny_in_few_bits(benchmark_module, name, bits, settings, least):
    benchmark = benchmark_module("post_training")
    (case,) = (
        item
        for item in benchmark.cases(name)
        if (item.tool, item.bits, item.settings) == ("hwquant", bits, settings)
    )
    assert benchmark.measure(name, case)["accuracy"] >= least
