"""``hwquant evaluate``."""

import numpy as np
import pytest

from hwquant.cli.evaluate import predict
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.interface import Input, Output
from hwquant.window import Window


@pytest.fixture
def model(demo_folder):
    return demo_folder / "digits.onnx"


@pytest.fixture
def data(demo_folder):
    return demo_folder / "digits.npz"


def test_the_float_network_has_the_accuracy_that_onnxruntime_gives_it(hwquant, model, data):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with np.load(data) as file:
        scores = session.run(None, {"image": file["x"].astype(np.float32)})[0]
        accuracy = float((scores.argmax(axis=1) == file["y"]).mean())
    result = hwquant("evaluate", model, "-d", data, "--json").json
    assert (result["accuracy"], result["total"], result["kind"]) == (accuracy, 360, "float")
    assert accuracy >= 0.97


def test_the_integer_network_loses_next_to_nothing(hwquant, network, data):
    result = hwquant("evaluate", network, "-d", data, "--json").json
    assert result["kind"] == "integer"
    assert result["total"] == 360
    assert result["accuracy"] >= 0.98


def test_people_read_the_accuracy_on_the_first_n_samples(hwquant, model, data):
    outcome = hwquant("evaluate", model, "-d", data, "-n", 10)
    assert outcome.stdout == "float network digits: 10 of 10 correct, accuracy 100.00%\n"


def test_without_labels_there_is_no_accuracy(hwquant, model, demo_folder):
    outcome = hwquant("evaluate", model, "-d", demo_folder / "calibration.npz")
    assert outcome.status == 0
    assert "has no labels y, so the accuracy is not available" in outcome.stdout
    result = hwquant("evaluate", model, "-d", demo_folder / "calibration.npz", "--json").json
    assert (result["accuracy"], result["total"]) == (None, 200)


def test_more_samples_than_there_are_is_an_error(hwquant, model, data):
    hwquant("evaluate", model, "-d", data, "-n", 361, "--json").fails("has 360 samples; 361 cannot be taken")


def test_damaged_networks_are_refused(hwquant, network, data, tmp_path):
    content = network.read_bytes()
    path = tmp_path / "net.hwq"
    for damaged in (b"", b"garbage" * 50, content[:-1], content[: len(content) // 2]):
        path.write_bytes(damaged)
        hwquant("evaluate", path, "-d", data).fails("net.hwq")
    for position in range(0, len(content), len(content) // 20):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        hwquant("evaluate", path, "-d", data).fails("net.hwq")


def test_damaged_data_are_refused(hwquant, model, data, tmp_path):
    content = data.read_bytes()
    for damaged in (b"", b"garbage" * 50, content[:-100], content[: len(content) // 2]):
        (tmp_path / "data.npz").write_bytes(damaged)
        hwquant("evaluate", model, "-d", tmp_path / "data.npz").fails("data.npz is no .npz file")


def test_scores_that_are_not_finite_are_no_accuracy():
    shape = (1, 1, 1)
    weight, bias = np.full((1, 1, 1, 1), 1e300), np.zeros(1)
    nodes = (
        Conv("a", ("x",), weight, bias, Window(weight.shape[2:])),
        Conv("b", ("a",), weight, bias, Window(weight.shape[2:])),
    )
    graph = Graph("huge", (Input("x", shape, shape),), nodes, (Output("y", "b", (1,)),))
    with pytest.raises(HwquantError, match="network 'huge' gives NaN or infinity on these data"):
        predict(graph, Samples(np.ones((1, *shape), np.float32), None), lambda *_: None)


def test_labels_beyond_the_scores_are_an_error(hwquant, model, tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 1, 8, 8), np.uint8), y=np.array([3, 10]))
    hwquant("evaluate", model, "-d", tmp_path / "data.npz").fails("the label 10 has no score")
