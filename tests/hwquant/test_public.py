"""The names of the package: what they take, and what they say to something else."""

import numpy as np
import pytest

import hwquant
from hwquant import errors


def test_every_public_name_is_there():
    assert set(hwquant.__all__) == set(hwquant._PUBLIC)
    for name in hwquant.__all__:
        assert getattr(hwquant, name) is not None


def test_the_errors_are_those_that_are_raised():
    for name in ("HwquantError", "Unsupported", "DoesNotFit", "Damaged", "MissingPackage"):
        assert getattr(hwquant, name) is getattr(errors, name)


def test_predict_evaluates_a_network_that_is_still_float(digits_graph, digits_qgraph, digits_samples):
    x = digits_samples.x[:20]
    (real,), (integer,) = hwquant.predict(digits_graph, x), hwquant.predict(digits_qgraph, x)
    assert real.shape == integer.shape
    assert (real.argmax(axis=1) == integer.argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("network", ["digits_graph", "digits_qgraph"])
def test_lists_and_tensors_are_arrays(request, network, digits_samples):
    import torch

    network = request.getfixturevalue(network)
    x = digits_samples.x[:2].astype(np.float32)
    (expected,) = hwquant.predict(network, x)
    tensor = torch.tensor(x, requires_grad=True)
    for given in (x.tolist(), tensor, {network.inputs[0].name: tensor}):
        np.testing.assert_array_equal(hwquant.predict(network, given)[0], expected)


@pytest.mark.parametrize("network", ["digits_graph", "digits_qgraph"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 1, 8, 9), np.float32), "shape"),
        (np.zeros((8, 8), np.float32), "shape"),
        (np.float32(3), "single number"),
        (None, "dtype|real numbers|single number"),
        ("images", "dtype|real numbers|single number"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
        (np.zeros((2, 1, 8, 8), complex), "real numbers"),
        (np.zeros((2, 1, 8, 8), object), "real numbers"),
        (np.full((2, 1, 8, 8), np.nan), "NaN"),
        ({"other": np.zeros((2, 1, 8, 8))}, "other"),
        ({}, "input"),
    ],
)
def test_other_data_are_refused_by_name(request, network, x, message):
    network = request.getfixturevalue(network)
    with pytest.raises(errors.HwquantError, match=message):
        hwquant.predict(network, x)


def test_networks_of_the_wrong_kind_are_refused_by_name(
    digits_graph, digits_qgraph, digits_program, tmp_path
):
    x = np.zeros((1, 1, 8, 8), np.float32)
    for call in (
        lambda: hwquant.compile_network(digits_graph, (8, 8)),
        lambda: hwquant.save_network(digits_graph, tmp_path / "net.hwq"),
        lambda: hwquant.quantize_input(digits_graph, x),
        lambda: hwquant.write_build(digits_graph, digits_program, tmp_path / "build"),
    ):
        with pytest.raises(TypeError, match=r"must be of type QGraph, not Graph; hwquant\.quantize_network"):
            call()
    with pytest.raises(
        TypeError, match=r"graph must be of type Graph, not QGraph; hwquant\.load_model reads one"
    ):
        hwquant.quantize_network(digits_qgraph, x)
    for call in (
        lambda: hwquant.write_build(digits_qgraph, digits_qgraph, tmp_path / "build"),
        lambda: hwquant.simulate(digits_qgraph, x),
        lambda: hwquant.verify(digits_qgraph, digits_qgraph, x),
    ):
        with pytest.raises(
            TypeError, match=r"program must be of type Program, not QGraph; hwquant\.compile_network"
        ):
            call()
    with pytest.raises(TypeError, match=r"qgraph must be of type QGraph or Graph, not str"):
        hwquant.predict("net.hwq", x)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("array", ["8x8", (8,), 8, (8.0, 8), None])
def test_an_array_is_rows_and_columns(digits_qgraph, array):
    expected = r"array must be \(rows, columns\), such as \(8, 8\), or \(arrays, rows, columns\), not "
    with pytest.raises(TypeError, match=expected):
        hwquant.compile_network(digits_qgraph, array)
