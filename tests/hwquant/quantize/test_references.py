"""What the float network gives, for as much as fitting layers to it needs."""

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS

from hwquant import floating
from hwquant.quantize import references
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.references import float_references, positions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("small", [False, True])
def test_images_and_sums_are_those_of_the_float_network(build, samples, monkeypatch, kind, small):
    plan = plan_layers(build(kind, 2))
    if small:
        monkeypatch.setattr(references, "_ELEMENTS", 10_000)
        monkeypatch.setattr("hwquant.quantize.calibration._BATCH_ELEMENTS", 50_000)
    found = float_references(plan, {"x": samples})
    exact = floating.run(plan.graph, samples, keep=plan.tensors)
    assert set(found.images) == {name for layer in plan.layers for name in layer.inputs}
    for name, image in found.images.items():
        assert np.allclose(image, exact[name].mean(axis=0))
    fitted = [layer for layer in plan.layers if any(term.has_weights for term in layer.terms)]
    assert list(found.sums) == [layer.name for layer in fitted]
    for layer in fitted:
        x = exact[layer.name]
        sample, row, column = (axis[:: found.stride] for axis in positions((len(x), *x.shape[2:])))
        sums = found.sums[layer.name]
        clamped = np.clip(sums, layer.low, layer.high)
        assert np.allclose(clamped, x[sample, :, row, column], rtol=1e-5, atol=1e-5 * np.abs(x).max())
        if layer.low > -np.inf and (clamped == layer.low).any():
            assert sums.min() < layer.low
    kept = sum(item.size for item in found.sums.values())
    assert (found.stride > 1) == small
    assert not small or kept <= 10_000 + sum(item.shape[1] for item in found.sums.values())


def test_positions_are_spread_evenly():
    assert [axis.tolist() for axis in positions((2, 1, 2))] == [[0, 0, 1, 1], [0] * 4, [0, 1, 0, 1]]
    sample, row, column = positions((1000, 10, 10))
    assert len(sample) == references._PATCHES
    assert np.bincount(sample).min() >= 16
    flat = (sample * 10 + row) * 10 + column
    assert np.all(np.diff(flat) > 0)
