import numpy as np

from hwquant import golden
from hwquant.quantize import quantize
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.integer_run import IntegerRun


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
