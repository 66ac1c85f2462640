"""``hwquant export``."""

import numpy as np
import onnxruntime
import pytest

from hwquant import golden


def test_the_model_runs_elsewhere_and_gives_what_the_golden_model_gives(
    hwquant, network, digits_qgraph, digits_samples, tmp_path
):
    outcome = hwquant("export", network, "-o", tmp_path / "net.onnx")
    assert outcome.status == 0, outcome.stderr
    assert "net.onnx" in outcome.stdout
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: digits_samples.x.astype(np.float32)})
    expected = golden.predict(digits_qgraph, digits_samples.x)[0].astype(np.float32)
    np.testing.assert_array_equal(got, expected)


def test_layers_adds_the_integers_of_every_tensor(hwquant, network, digits_qgraph, tmp_path):
    result = hwquant("export", network, "-o", tmp_path / "net.onnx", "--layers", "--json").json
    assert result["layer_outputs"] == [f"{name}/q" for name in digits_qgraph.tensors]
    assert result["outputs"] == [item.name for item in digits_qgraph.outputs]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    assert names == [*result["outputs"], *result["layer_outputs"]]


def test_a_file_that_is_no_integer_network_is_refused(hwquant, demo_folder, tmp_path):
    hwquant("export", demo_folder / "digits.onnx", "-o", tmp_path / "net.onnx").fails("is no integer network")
    hwquant("export", tmp_path / "none.hwq", "-o", tmp_path / "net.onnx", "--json").fails("none.hwq")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "message"), [("none/net.onnx", "does not exist"), (".", "it is a folder; name a file")]
)
def test_an_output_that_cannot_be_written_is_refused(hwquant, network, tmp_path, place, message):
    hwquant("export", network, "-o", tmp_path / place).fails(message)
