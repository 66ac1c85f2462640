import pytest

from hwquant.quantize import quantize


def test_layers_tell_how_well_the_weight_range_is_used(build, samples):
    graph = build("residual", 0)
    report = quantize(graph, samples, bits={"c3": 5}, equalization=False).options["layers"]["last"]
    assert report["fused"] == ["c3", "a1", "last"]
    identity, term = report["terms"]
    assert identity == {
        "input": "r1",
        "bits": 5,
        "left_shift": identity["left_shift"],
        "scale": [1.0],
        "offset": [0],
        "weight": 1.0,
    }
    assert term["grid"] == "mid_tread"
    weight = next(node.weight for node in graph.nodes if node.name == "c3")
    assert term["weight_range"] == [weight.min(), weight.max()]
    ideal = (weight.max() - weight.min()) / 31
    assert term["stretch"] == [pytest.approx(term["scale"][0] / ideal, abs=1e-4)]
    assert 0.25 < term["stretch"][0] < 2
