import pytest

from hwquant.quantize import observe
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.observe import fitting_samples


@pytest.mark.parametrize(("elements", "count"), [(1 << 24, 64), (8 * 8 * 8 * 10, 10), (1, 1)])
def test_samples_are_as_many_as_memory_allows(build, samples, monkeypatch, elements, count):
    monkeypatch.setattr(observe, "_ELEMENTS", elements)
    assert len(fitting_samples(plan_layers(build("chain", 0)), {"x": samples})["x"]) == count
