import numpy as np
import pytest

from hwquant import floating, golden
from hwquant.golden import reference
from hwquant.qgraph import Layer
from hwquant.quantize import layerwise, quantize
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.layerwise import IntegerRun, fitting_samples, mean_images


def test_integer_run_gives_the_network_s_tensors_and_forgets_them(graph, samples):
    qgraph = quantize(graph, samples)
    plan = plan_layers(graph)
    run = IntegerRun(plan, qgraph.tensors, {"x": samples})
    expected = golden.run(qgraph, golden.quantize_input(qgraph, samples), keep=list(qgraph.tensors))
    for node in qgraph.nodes:
        for name in node.inputs:
            zero_point = qgraph.tensors[name].zero_point
            assert np.array_equal(run.centred(name) + zero_point, expected[name])
        run.step(node)
    assert list(run._values) == [graph.outputs[0].tensor]


def test_bias_makes_up_for_the_mean_error_of_the_sums(build, samples):
    graph = build("projection", 3)
    qgraph = quantize(graph, samples, bits=4)
    tensors = golden.run(qgraph, golden.quantize_input(qgraph, samples), keep=list(qgraph.tensors))
    exact = floating.run(graph, samples, keep=["c1", "last", "avg", "fc"])
    for layer, name in zip((node for node in qgraph.nodes if isinstance(node, Layer)), exact):
        term = layer.terms[0]
        step = qgraph.tensors[term.input].scale * term.scale * 2.0**-term.shift
        sums = reference.accumulate(layer, tensors, qgraph.tensors).mean(axis=(0, 2, 3)) * step
        # Half a step is the rounding of the bias.
        assert np.abs(sums - exact[name].mean(axis=(0, 2, 3))).max() <= step.max() * (0.5 + 1e-6)


def test_mean_images_are_those_of_the_float_network(build, samples):
    graph = build("chain", 0)
    images = mean_images(plan_layers(graph), {"x": samples})
    assert set(images) == {"x", "p1", "last", "avg"}
    expected = floating.run(graph, samples, keep=list(images))
    assert all(np.allclose(images[name], expected[name].mean(axis=0)) for name in images)


@pytest.mark.parametrize(("elements", "count"), [(1 << 24, 64), (8 * 8 * 8 * 10, 10), (1, 1)])
def test_samples_are_as_many_as_memory_allows(build, samples, monkeypatch, elements, count):
    monkeypatch.setattr(layerwise, "_ELEMENTS", elements)
    assert len(fitting_samples(plan_layers(build("chain", 0)), {"x": samples})["x"]) == count
