"""One look at the calibration data serves every choice of options."""

from dataclasses import replace

import numpy as np

from hwquant import hwq
from hwquant.history import KEY
from hwquant.quantize import QuantizeOptions, observe_network, quantize, quantize_observed


def told(qgraph):
    """What a network says of itself, but for what was done to it."""
    return {key: value for key, value in qgraph.options.items() if key != KEY}


def test_a_network_observed_once_gives_the_networks_of_quantize_for_all_options(build, samples, tmp_path):
    graph = build("residual", 3)
    observed = observe_network(graph, samples)
    for bits, compensated in ((8, False), (3, True), (8, True)):
        options = QuantizeOptions(bits=bits, error_compensation=compensated, equalization=False)
        made = quantize(graph, samples, options)
        hwq.save(replace(made, options=told(made)), tmp_path / "a.hwq")
        made = quantize_observed(observed, options)
        hwq.save(replace(made, options=told(made)), tmp_path / "b.hwq")
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
