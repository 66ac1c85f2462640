"""Networks that onnxruntime quantized: they come in with their integers, and each layer is within a step of it.

``HWQUANT_FUZZ_CASES`` and ``HWQUANT_FUZZ_SEED`` make longer campaigns of the nightly ones.
"""

import numpy as np
import pytest
from hwquant_testing.runtime_quantized import random_quantized
from hwquant_testing.seeds import seed_ranges

from hwquant.agreement import compare
from hwquant.errors import HwquantError
from hwquant.frontends import from_onnx
from hwquant.qgraph import Layer
from hwquant.quantize import quantize


def allowed(qgraph):
    """The steps that each tensor may be off where all that it is computed from is the source's.

    One for a rounding; with a table, what that makes of one step of its address.
    """
    return {
        node.name: max(1, int(np.abs(np.diff(node.table.values)).max()))
        if isinstance(node, Layer) and node.table is not None
        else 1
        for node in qgraph.nodes
    }


def check(seed, folder):
    model, x = random_quantized(seed, folder)
    graph = from_onnx(model)
    try:
        qgraph = quantize(graph)
    except HwquantError as error:  # a float part of the source, whose range nobody knows
        if "has no scale in the source" not in str(error):
            raise
        qgraph = quantize(graph, x)
    found = compare(model, qgraph, x)
    limits, known = allowed(qgraph), {item.tensor for item in found.tensors}
    nodes = {node.name: node for node in qgraph.nodes}
    for item in found.tensors:
        node = nodes.get(item.tensor)
        if node is None:
            assert item.alone <= 1, (seed, item)  # float32 rounds a tie elsewhere
        elif known.issuperset(node.inputs):
            assert item.alone <= limits[item.tensor], (seed, item)
    return len(found.tensors)


@pytest.mark.parametrize("seeds", seed_ranges(12, 400))
def test_each_layer_is_within_a_step_of_the_runtime(seeds, tmp_path):
    assert sum(check(seed, tmp_path) for seed in seeds) > 4 * len(seeds)
