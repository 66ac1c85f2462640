"""The quantizer on a trained network that we did not make, and real data."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from hwquant import golden
from hwquant.frontends import load_model
from hwquant.qgraph import Layer
from hwquant.quantize import quantize

DATA = Path(os.environ.get("HWQUANT_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not (DATA / "mnist_conv").is_dir(), reason=f"no data in {DATA}; set HWQUANT_DATA"
)


def read_idx(name):
    with gzip.open(DATA / "mnist" / name) as file:
        content = file.read()
    dimensions = content[3]
    sizes = np.frombuffer(content, ">u4", dimensions, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(sizes)


@pytest.mark.parametrize("options", [{}, {"per_channel": True}], ids=str)
def test_mnist_keeps_its_accuracy_with_shifts_alone(options):
    graph = load_model(DATA / "mnist_conv" / "model.onnx")
    shape = graph.inputs[0].shape
    calibration = read_idx("train-images-idx3-ubyte.gz")[:500].reshape(-1, *shape)
    qgraph = quantize(graph, calibration, **options)
    assert all(node.multiplier is None for node in qgraph.nodes if isinstance(node, Layer))
    assert qgraph.tensors[graph.inputs[0].name].scale == 1  # pixels as they are
    images = read_idx("t10k-images-idx3-ubyte.gz").reshape(-1, *shape)
    labels = read_idx("t10k-labels-idx1-ubyte.gz")
    # The float network is right on 9,891.
    assert np.sum(golden.predict(qgraph, images)[0].argmax(axis=-1) == labels) >= 9880
