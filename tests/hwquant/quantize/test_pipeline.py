"""One look at the calibration data serves every choice of options."""

import numpy as np

from hwquant import hwq
from hwquant.quantize import QuantizeOptions, observe_network, quantize, quantize_observed


def test_a_network_observed_once_gives_the_networks_of_quantize_for_all_options(build, samples, tmp_path):
    graph = build("residual", 3)
    observed = observe_network(graph, samples)
    for bits, compensated in ((8, False), (3, True), (8, True)):
        options = QuantizeOptions(bits=bits, error_compensation=compensated, equalization=False)
        hwq.save(quantize(graph, samples, options), tmp_path / "a.hwq")
        hwq.save(quantize_observed(observed, options), tmp_path / "b.hwq")
        assert (tmp_path / "a.hwq").read_bytes() == (tmp_path / "b.hwq").read_bytes()


def test_what_is_left_out_of_the_description_changes_no_integer(build, samples):
    observed = observe_network(build("chain", 3), samples)
    full = quantize_observed(observed, QuantizeOptions())
    lean = quantize_observed(observed, QuantizeOptions(), described=False)
    assert set(full.options) - set(lean.options) == {"layers", "tensors", "sqnr", "warnings"}
    for a, b in zip(full.nodes, lean.nodes, strict=True):
        assert a.name == b.name
        for left, right in zip(getattr(a, "terms", ()), getattr(b, "terms", ())):
            assert np.array_equal(left.codes, right.codes)
