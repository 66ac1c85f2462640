"""Whole networks: onnxruntime against the golden model, bit for bit."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hwquant_testing.small_networks import Net

from hwquant import container
from hwquant.errors import HwquantError
from hwquant.export import save_onnx, to_onnx
from hwquant.qgraph import Layer
from hwquant.quantize import quantize
from hwquant.random_networks import Features, random_qgraph


@pytest.mark.parametrize("seed", range(60))
def test_random_networks_are_equal_in_every_tensor(assert_equal, real_inputs, seed):
    steps, tables = ((1, 2) if seed % 3 == 0 else (1,)), 0.5 * (seed % 4 == 1)
    features = Features(multiplier=True, weight_bits=(1, 8), steps=steps, tables=tables)
    qgraph = random_qgraph(np.random.default_rng(seed), features)
    assert_equal(qgraph, real_inputs(qgraph))


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_with_products_are_equal_in_every_tensor(assert_equal, real_inputs, seed):
    qgraph = random_qgraph(np.random.default_rng(seed), Features(multiplier=seed % 2 == 0, products=True))
    assert_equal(qgraph, real_inputs(qgraph))


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(20))
def test_many_random_networks_are_equal_in_every_tensor(assert_equal, real_inputs, block):
    features = Features(
        multiplier=True,
        weight_bits=(1, 8),
        layers=(1, 6),
        channels=(1, 20),
        steps=(1, 2) if block % 2 else (1,),
    )
    for seed in range(50):
        qgraph = random_qgraph(np.random.default_rng((block, seed)), features)
        assert_equal(qgraph, real_inputs(qgraph))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_channel": True},
        {"bits": 4, "anchor": "max", "per_channel": True},
        {"bits": 2, "activation_bits": 4},
        {"bits": 1},
        {"symmetric": True},
        {"literal_range": True, "anchor": "max"},
        {"scales": "multiplier", "rounding": "truncate"},
    ],
    ids=str,
)
def test_the_demo_network_is_equal_in_every_tensor(
    assert_equal, digits_graph, digits_samples, demo_folder, options
):
    with np.load(demo_folder / "calibration.npz") as file:
        qgraph = quantize(digits_graph, file["x"], **options)
    assert_equal(qgraph, digits_samples.x)


def test_the_users_inputs_and_outputs_are_those_of_the_float_network(digits_qgraph, demo_folder):
    def signature(model):
        return [
            (
                item.name,
                item.type.tensor_type.elem_type,
                [size.dim_value for size in item.type.tensor_type.shape.dim][1:],
            )
            for item in (*model.graph.input, *model.graph.output)
        ]

    assert signature(to_onnx(digits_qgraph)) == signature(onnx.load(demo_folder / "digits.onnx"))


def test_only_standard_operators_are_used_and_every_value_has_a_name_that_tells_its_owner(digits_qgraph):
    model = to_onnx(digits_qgraph, layers=True)
    assert {entry.domain for entry in model.opset_import} == {""}
    owners = {*digits_qgraph.tensors, *(item.name for item in digits_qgraph.outputs)}
    for node in model.graph.node:
        assert node.domain == ""
        assert node.name == node.output[0]
        assert node.name.rpartition("/")[0] in owners or node.name in owners
    for item in model.graph.initializer:
        assert item.name.rpartition("/")[0] in owners


def test_scales_and_shifts_are_initializers(digits_qgraph):
    constants = {
        item.name: onnx.numpy_helper.to_array(item) for item in to_onnx(digits_qgraph).graph.initializer
    }
    (item,), (output,) = digits_qgraph.inputs, digits_qgraph.outputs
    assert constants[f"{item.name}/scale"] == digits_qgraph.tensors[item.name].scale
    assert constants[f"{output.name}/scale_double"] == digits_qgraph.tensors[output.tensor].scale
    for layer in digits_qgraph.nodes:
        if isinstance(layer, Layer):
            np.testing.assert_array_equal(constants[f"{layer.name}/shift"].ravel(), layer.shift)
            np.testing.assert_array_equal(constants[f"{layer.name}/bias"].ravel(), layer.bias)


def test_the_same_network_gives_the_same_bytes_and_nothing_else_in_the_folder(digits_qgraph, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        save_onnx(digits_qgraph, tmp_path / name, layers=True)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"), full_check=True)


def test_a_network_that_is_not_valid_is_refused_and_nothing_is_written(tmp_path):
    net = Net(x=(2, 4, 4))
    net.conv("x", 3)
    good = net.build()
    bad = replace(good, nodes=(replace(good.nodes[0], shift=np.array([70])),))
    with pytest.raises(HwquantError, match="shift of 70"):
        save_onnx(bad, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(digits_qgraph, tmp_path, monkeypatch):
    with pytest.raises(HwquantError, match=r"net\.onnx"):
        save_onnx(digits_qgraph, tmp_path / "none" / "net.onnx")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(container.os, "fsync", full)
    with pytest.raises(HwquantError, match="No space left"):
        save_onnx(digits_qgraph, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_values_that_would_have_one_name_are_refused():
    net = Net(x=(2, 4, 4))
    net.conv("x", 3, name="a")
    qgraph = net.build()
    clash = replace(qgraph, outputs=(replace(qgraph.outputs[0], name="a/accumulator"),))
    with pytest.raises(HwquantError, match="'a/accumulator'; rename"):
        to_onnx(clash)
