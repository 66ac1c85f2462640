"""onnxruntime, the oracle that we did not write."""

import numpy as np
import onnxruntime
import pytest

from hwquant import golden
from hwquant.export import to_onnx


def _run(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


@pytest.fixture
def run_onnx():
    """``run_onnx(model, feeds)``: the outputs, in order."""
    return _run


@pytest.fixture
def real_inputs():
    """Real values for every input: all of its range, and a little beyond on both sides."""

    def make(qgraph, count=4, seed=0):
        rng = np.random.default_rng(seed)
        data = {}
        for item in qgraph.inputs:
            tensor = qgraph.tensors[item.name]
            low, high = (tensor.dequantize(np.array(limit)) for limit in tensor.limits)
            margin = (high - low) / 16
            data[item.name] = rng.uniform(low - margin, high + margin, (count, *item.shape)).astype(
                np.float32
            )
        return data

    return make


@pytest.fixture
def assert_equal():
    """``assert_equal(qgraph, x)``: onnxruntime gives the integers of every tensor, and the outputs."""

    def check(qgraph, x):
        x = x if isinstance(x, dict) else {qgraph.inputs[0].name: x}
        model = to_onnx(qgraph, layers=True)
        feeds = {name: value.astype(np.float32) for name, value in x.items()}
        got = dict(zip([item.name for item in model.graph.output], _run(model, feeds)))
        integers = golden.run(qgraph, golden.quantize_input(qgraph, x), keep=qgraph.tensors, exact=True)
        for name, expected in integers.items():
            assert got[f"{name}/q"].dtype == np.int8
            np.testing.assert_array_equal(got[f"{name}/q"], expected, name)
        for output, expected in zip(qgraph.outputs, golden.predict(qgraph, x)):
            dtype = np.int64 if output.host[-1:] == ("argmax",) else np.float32
            assert got[output.name].dtype == dtype
            np.testing.assert_array_equal(got[output.name], expected.astype(dtype), output.name)
        return model

    return check
