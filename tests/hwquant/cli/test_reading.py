"""``--shape`` and ``--batch-axis`` on the command line."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from hwquant.cli import main

RNG = np.random.default_rng(2)


def save(path, shape):
    weight = RNG.normal(size=(3, 2, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def hwquant(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "open.onnx", [1, 2, "t"])
    np.savez(tmp_path / "calib.npz", x=RNG.normal(size=(8, 2, 9)).astype(np.float32))
    return tmp_path


def test_quantize_and_inspect_with_a_shape(folder):
    arguments = ["quantize", folder / "open.onnx", "-c", folder / "calib.npz", "-o", folder / "net.hwq"]
    refused = hwquant(*arguments)
    assert refused.exit_code == 2
    assert "--shape x=1,2,T" in refused.output
    assert hwquant(*arguments, "--shape", "x=1,2,9").exit_code == 0
    assert hwquant("inspect", folder / "open.onnx", "--shape", "x=1,2,9").exit_code == 0
    again = hwquant("inspect", folder / "net.hwq", "--shape", "x=1,2,9")
    assert again.exit_code == 2
    assert "--shape is for .onnx and .pt2 files" in again.output


def test_a_shape_from_a_configuration_file(folder):
    (folder / "run.toml").write_text('[inspect]\nshape = ["x=1,2,9"]\n')
    assert hwquant("inspect", folder / "open.onnx", "--config", folder / "run.toml").exit_code == 0


@pytest.mark.parametrize("text", ["x", "x=", "=1,2", "x=1,b", "x=1,,2", "x=-1,2,9", "x=1,2,99999999999"])
def test_what_is_no_shape(folder, text):
    result = hwquant("inspect", folder / "open.onnx", "--shape", text)
    assert result.exit_code == 2
    assert "--shape" in result.output


def test_one_input_has_one_shape(folder):
    result = hwquant("inspect", folder / "open.onnx", "--shape", "x=1,2,9", "--shape", "x=1,2,8")
    assert result.exit_code == 2
    assert "two shapes" in result.output


def test_no_batch_axis(tmp_path):
    save(tmp_path / "net.onnx", [1, 2, 9])
    result = hwquant("inspect", tmp_path / "net.onnx", "--batch-axis", "none", "--json")
    assert result.exit_code == 0
