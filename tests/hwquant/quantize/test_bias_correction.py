import numpy as np

from hwquant import floating, golden
from hwquant.golden import reference
from hwquant.qgraph import Layer
from hwquant.quantize import quantize


def test_bias_makes_up_for_the_mean_error_of_the_sums(build, samples):
    graph = build("projection", 3)
    qgraph = quantize(graph, samples, bits=4, equalization=False)
    tensors = golden.run(qgraph, golden.quantize_input(qgraph, samples), keep=list(qgraph.tensors))
    exact = floating.run(graph, samples, keep=["c1", "last", "avg", "fc"])
    for layer, name in zip((node for node in qgraph.nodes if isinstance(node, Layer)), exact):
        term = layer.terms[0]
        step = qgraph.tensors[term.input].scale * term.scale * 2.0**-term.shift
        sums = reference.accumulate(layer, tensors, qgraph.tensors).mean(axis=(0, 2, 3)) * step
        # Half a step is the rounding of the bias.
        assert np.abs(sums - exact[name].mean(axis=(0, 2, 3))).max() <= step.max() * (0.5 + 1e-6)
