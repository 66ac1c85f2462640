"""Networks with several inputs and outputs through all commands."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """net.onnx with the inputs image and speed and the outputs class and map; data.npz with labels."""
    rng = np.random.default_rng(0)
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    weights = {
        "filters": rng.normal(size=(4, 2, 3, 3)),
        "gains": rng.normal(size=(4, 3)),
        "mixed": rng.normal(size=(5, 64)),
        "mapped": rng.normal(size=(1, 4, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["features"], "relu"),
        helper.make_node("Flatten", ["features"], ["flat"]),
        helper.make_node("Gemm", ["flat", "mixed"], ["seen"], "seen", transB=1),
        helper.make_node("Gemm", ["speed", "gains"], ["fast"], "fast", transB=1),
        helper.make_node("Concat", ["seen", "fast"], ["class"], "join", axis=1),
        helper.make_node("Conv", ["features", "mapped"], ["map"], "map"),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [
            helper.make_tensor_value_info("image", real, ["n", 2, 8, 8]),
            helper.make_tensor_value_info("speed", real, ["n", 3]),
        ],
        [
            helper.make_tensor_value_info("class", real, ["n", 9]),
            helper.make_tensor_value_info("map", real, ["n", 1, 4, 4]),
        ],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("several")
    onnx.save(model, path / "net.onnx")
    image = rng.normal(size=(40, 2, 8, 8)).astype(np.float32)
    np.savez(
        path / "data.npz",
        image=image,
        speed=rng.normal(size=(40, 3)).astype(np.float32),
        y=np.arange(40) % 9,
    )
    return path


@pytest.fixture(scope="module")
def quantized(hwquant, folder):
    outcome = hwquant(
        "quantize", folder / "net.onnx", "-c", folder / "data.npz", "-o", folder / "net.hwq", "--json"
    )
    assert outcome.status == 0, outcome.stderr
    assert outcome.json["samples"] == 40
    return folder / "net.hwq"


@pytest.fixture(scope="module")
def build(hwquant, folder, quantized):
    outcome = hwquant("compile", quantized, "--array", "4x4", "-o", folder / "build", "--json")
    assert outcome.status == 0, outcome.stderr
    return folder / "build"


@pytest.mark.parametrize(("name", "position"), [(None, 0), ("class", 0), ("map", 1)])
def test_the_accuracy_is_that_of_the_named_output_or_the_first(hwquant, folder, name, position):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    with np.load(folder / "data.npz") as file:
        scores = session.run(None, {"image": file["image"], "speed": file["speed"]})[position]
        accuracy = float((scores.reshape(40, -1).argmax(axis=1) == file["y"]).mean())
    option = () if name is None else ("--output", name)
    result = hwquant("evaluate", folder / "net.onnx", "-d", folder / "data.npz", *option, "--json").json
    assert (result["accuracy"], result["output"]) == (accuracy, name or "class")


def test_the_integer_network_takes_the_same_data(hwquant, folder, quantized):
    outcome = hwquant("evaluate", quantized, "-d", folder / "data.npz", "-n", 7, "--output", "map")
    assert outcome.stdout.startswith("integer network net, output map: ")
    assert "of 7 correct" in outcome.stdout


def test_an_output_that_is_not_there_is_an_error(hwquant, folder):
    arguments = ("evaluate", folder / "net.onnx", "-d", folder / "data.npz", "--output", "none")
    hwquant(*arguments).fails("network 'net' has no output 'none'; it has class, map")


def test_data_without_one_of_the_inputs_are_refused(hwquant, folder, tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 2, 8, 8), np.float32))
    hwquant("evaluate", folder / "net.onnx", "-d", tmp_path / "data.npz").fails("holds x, but no 'image'")


def test_estimate_and_inspect_know_all_inputs_and_outputs(hwquant, build, quantized):
    assert hwquant("estimate", build, "--json").json["cycles"] > 0
    for what in (quantized, build):
        assert hwquant("inspect", what).status == 0
    described = hwquant("inspect", quantized, "--json").json
    assert [item["name"] for item in described["inputs"]] == ["image", "speed"]
    assert [item["name"] for item in described["outputs"]] == ["class", "map"]


@pytest.mark.parametrize("simulator", ["amaranth", "cxxrtl"])
def test_the_hardware_agrees_in_every_output(hwquant, folder, build, simulator):
    arguments = ("simulate", build, "-d", folder / "data.npz", "-n", 3, "--simulator", simulator)
    outcome = hwquant(*arguments, "--layers", "--json")
    assert outcome.status == 0, outcome.stdout + outcome.stderr
    assert (outcome.json["samples"], outcome.json["mismatches"]) == (3, 0)
