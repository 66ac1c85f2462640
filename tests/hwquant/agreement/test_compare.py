"""Agreement with the source: by tensor, by layer alone, and at the outputs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hwquant_testing.quantized_models import QuantizedModel, every_operator, runtime
from onnx import TensorProto

from hwquant import golden, hwq
from hwquant.agreement import compare
from hwquant.cli import main
from hwquant.errors import HwquantError
from hwquant.export import to_onnx
from hwquant.frontends import from_onnx
from hwquant.quantize import quantize

SHAPE = (2, 8, 8)


def samples(count=70, seed=1):
    return np.random.default_rng(seed).uniform(-4, 4, (count, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def made():
    return every_operator(0, np.uint8, np.int8, True)


@pytest.fixture(scope="module")
def model(made):
    return made.model(made.output, SHAPE)


@pytest.fixture(scope="module")
def qgraph(model):
    return quantize(from_onnx(model))


def test_every_tensor_and_output_is_counted(made, model, qgraph):
    x = samples()
    found = compare(model, qgraph, x)
    assert found.samples == len(x)
    assert found.tensors[0].tensor == "x"
    assert all(0.9 < item.equal <= item.within <= 1 for item in found.tensors)
    names = [item.source for item in found.tensors]
    for name, theirs in zip(names, runtime(model, x, names)):
        item = found.tensors[names.index(name)]
        mine = golden.run(qgraph, golden.quantize_input(qgraph, x), keep=[item.tensor])[item.tensor]
        steps = np.abs(mine.ravel() - (theirs.astype(np.int64) - 128).ravel())
        assert (item.equal, item.largest) == ((steps == 0).mean(), steps.max())
        assert item.within == (steps <= 1).mean()
    (output,) = found.outputs
    got, expected = golden.predict(qgraph, x)[0], runtime(model, x)[0]
    assert output.same == (got.argmax(1) == expected.argmax(1)).mean()
    assert output.largest == pytest.approx(np.abs(got - expected).max())


def test_a_layer_that_errs_is_told_from_those_that_are_handed_errors(model, qgraph):
    broken = qgraph.nodes[0]
    nodes = (replace(broken, bias=broken.bias + (1 << 14)), *qgraph.nodes[1:])
    found = compare(model, replace(qgraph, nodes=nodes), samples())
    assert found.first.tensor == broken.name
    assert [item.tensor for item in found.tensors if item.alone > 2] == [broken.name]
    assert found.tensors[-1].within < 1


def test_another_way_to_choose_scales_is_compared_in_the_sources_steps(model):
    qgraph = quantize(from_onnx(model), samples(80), scales="shift")
    found = compare(model, qgraph, samples())
    assert found.outputs[0].same > 0.5
    assert found.tensors[-1].largest < 16


def test_what_cannot_be_compared_is_refused(model, qgraph):
    made = QuantizedModel(np.random.default_rng(1))
    plain = made.model(made.node("Relu", ["x"]), SHAPE)
    with pytest.raises(HwquantError, match="has no integers that network"):
        compare(plain, qgraph, samples())
    with pytest.raises(HwquantError, match="that hwquant exported"):
        compare(to_onnx(qgraph), qgraph, samples())
    with pytest.raises(HwquantError, match="the data has the inputs y"):
        compare(model, qgraph, {"y": samples()})
    other = every_operator(1, np.uint8, np.int8, True)
    renamed = other.model(other.output, SHAPE)
    renamed.graph.node[-1].output[0] = renamed.graph.output[0].name = "other"
    with pytest.raises(HwquantError, match="give the model that it was made of"):
        compare(renamed, qgraph, samples())


def test_what_the_host_computes_with_integers_begins_and_ends_with_real_numbers():
    made = QuantizedModel(np.random.default_rng(3))
    names, _ = made.weight((4, 2, 3, 3))
    y = made.around(made.node("Conv", [made.around("x"), made.dequantized(names)]))
    integers = made.nodes[-2].output[0]
    real = made.node("Cast", [integers], to=TensorProto.FLOAT)
    output = made.node("Add", [made.node("CumSum", [real, made.constant(3, np.int64)]), y])
    model = made.model(output, SHAPE)
    graph = from_onnx(model)
    assert graph.given.weights
    assert graph.host.nodes[0].operator == "QuantizeLinear"
    found = compare(model, quantize(graph), samples())
    assert [item.alone <= 1 for item in found.tensors] == [True, True]
    assert all(item.within == 1 for item in found.tensors)


def test_integers_that_are_read_with_another_scale_are_the_hosts():
    made = QuantizedModel(np.random.default_rng(6))
    names, _ = made.weight((4, 2, 3, 3))
    conv = made.node("Conv", [made.around("x"), made.dequantized(names)])
    q = made.node("QuantizeLinear", [conv, *made.names((0.05, 100))])
    same = made.node(
        "DequantizeLinear", [q, *made.names((0.05, 100))]
    )  # constants of its own, with the same numbers
    other = made.node("DequantizeLinear", [q, *made.names((0.1, 90))])
    model = made.model(made.node("Add", [same, other]), SHAPE)
    graph = from_onnx(model)
    assert [node.operator for node in graph.host.nodes][-2:] == ["DequantizeLinear", "Add"]
    found = compare(model, quantize(graph), samples())
    assert [item.alone <= 1 for item in found.tensors] == [True, True]
    assert found.outputs[0].largest <= 0.1500001


def test_weights_stay_integers_where_the_end_is_the_hosts():
    made = QuantizedModel(np.random.default_rng(4))
    names, _ = made.weight((4, 2, 3, 3))
    y = made.around(made.node("Conv", [made.around("x"), made.dequantized(names)]))
    pair = made.names((1 / 256, 0))
    q = made.node("QuantizeLinear", [made.node("Softmax", [y], axis=1), *pair])
    model = made.model(made.node("DequantizeLinear", [q, *pair]), SHAPE)
    graph = from_onnx(model)
    assert list(graph.given.weights)
    stored = np.frombuffer(made.constants[0].raw_data, np.int8).reshape(4, 2, 3, 3)
    assert np.array_equal(quantize(graph).nodes[0].terms[0].weight, stored)


def test_a_fixed_batch_and_integer_inputs_and_outputs():
    made = QuantizedModel(np.random.default_rng(5))
    names = made.names((0.5, 100))
    weight, _ = made.weight((3, 2, 3, 3))
    x = made.node("DequantizeLinear", ["x", *names])
    made.around(made.node("Conv", [x, made.dequantized(weight)]), (10.0, 7))
    model = made.model(made.nodes[-2].output[0], SHAPE)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    pixels = np.random.default_rng(0).integers(0, 256, (7, *SHAPE), np.uint8)
    found = compare(model, quantize(from_onnx(model)), pixels)
    assert found.samples == 7
    assert found.outputs[0].largest <= 10.001


def test_the_command_line(tmp_path, model, qgraph):
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    hwq.save(qgraph, tmp_path / "net.hwq")
    np.savez(tmp_path / "data.npz", x=samples())

    def run(*more):
        arguments = ["compare", "model.onnx", "net.hwq", "-d", "data.npz"]
        files = [str(tmp_path / item) if "." in item else item for item in arguments]
        return CliRunner().invoke(main, [*files, *more])

    result = run("--json", "-n", "40")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["samples"] == 40
    assert content["tensors"][0]["tensor"] == "x"
    text = run().stdout
    assert "the same choice for" in text
    assert "alone" in text
    assert run("--state", "auto").exit_code == 2
