"""What the float layers compute in front of their clamps, in the order of the plan."""

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS

from hwquant import floating
from hwquant.quantize.float_run import FloatRun
from hwquant.quantize.fuse import plan_layers


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_those_of_the_float_network(build, samples, kind):
    plan = plan_layers(build(kind, 2))
    run = FloatRun(plan, {"x": samples} if len(plan.graph.inputs) == 1 else samples)
    exact = floating.run(plan.graph, samples, keep=plan.tensors)
    for layer in plan.layers:
        sums = run.sums(layer).swapaxes(0, 1)
        clamped = np.clip(sums, layer.low, layer.high)
        assert np.allclose(clamped, exact[layer.name], rtol=1e-4, atol=1e-4 * np.abs(exact[layer.name]).max())
        if layer.low > -np.inf and (exact[layer.name] == layer.low).any():
            assert sums.min() < layer.low


def test_nothing_is_kept_that_no_layer_reads(build, samples):
    plan = plan_layers(build("residual", 2))
    run = FloatRun(plan, {plan.graph.inputs[0].name: samples})
    for layer in plan.layers:
        run.sums(layer)
    assert not run._values
