import numpy as np

from hwquant.qgraph import Layer
from hwquant.quantize import QuantizeOptions, observe_network
from hwquant.quantize.layerwise import fit_layers
from hwquant.quantize.precision import resolve_precision
from hwquant.quantize.scales import choose_scales


def fitted(graph, samples, progress=None, **options):
    observed = observe_network(graph, samples)
    precision = resolve_precision(observed.plan, QuantizeOptions(**options))
    return fit_layers(precision, choose_scales(precision, observed.statistics), observed, progress)


def test_every_node_of_the_plan_becomes_one_in_order_and_is_reported(graph, samples):
    seen = []
    nodes = fitted(graph, samples, lambda *step: seen.append(step))
    assert [node.name for node in nodes] == [node.name for node in observe_network(graph, samples).plan.nodes]
    assert seen == [("quantize", index + 1, len(nodes)) for index in range(len(nodes))]


def test_a_layer_makes_up_for_the_layers_before_it(build, samples):
    nearest = {"bits": 2, "error_compensation": False}
    plain, corrected = (
        [
            node
            for node in fitted(build("chain", 1), samples, **nearest, bias_correction=wanted)
            if isinstance(node, Layer)
        ]
        for wanted in (False, True)
    )
    for before, after in zip(plain, corrected, strict=True):
        assert all(np.array_equal(a.codes, b.codes) for a, b in zip(before.terms, after.terms, strict=True))
    assert all((before.bias != after.bias).any() for before, after in zip(plain, corrected))


def test_compensation_moves_codes_of_convolutions_only(build, samples):
    plain, moved = (
        {node.name: node for node in fitted(build("residual", 1), samples, bits=3, error_compensation=wanted)}
        for wanted in (False, True)
    )
    changed = {
        name for name, node in plain.items() if (node.terms[0].codes != moved[name].terms[0].codes).any()
    }
    assert "avg" not in changed
    assert changed >= {"r1", "r2", "fc"}
