"""``hwquant quantize``."""

import re

import numpy as np
import pytest

from hwquant import hwq


@pytest.fixture
def arguments(demo_folder, tmp_path):
    return (demo_folder / "digits.onnx", "-c", demo_folder / "calibration.npz", "-o", tmp_path / "net.hwq")


def test_default_options_give_the_network_that_the_python_function_gives(
    hwquant, arguments, network, tmp_path
):
    outcome = hwquant("quantize", *arguments)
    assert outcome.status == 0, outcome.stderr
    assert (tmp_path / "net.hwq").read_bytes() == network.read_bytes()
    assert "calibrated on 200 samples" in outcome.stdout
    assert "SQNR" in outcome.stdout
    for name in ("relu1", "relu2", "pool", "scores"):
        assert name in outcome.stdout


def test_json_reports_scales_and_noise_of_every_layer(hwquant, arguments):
    result = hwquant("quantize", *arguments, "--json").json
    assert result["samples"] == 200
    assert result["network"] == str(arguments[-1])
    assert set(result["layers"]) == {"relu1", "relu2", "scores"}
    assert all(result["tensors"][name]["sqnr_db"] > 30 for name in result["layers"])


def test_every_option_reaches_the_quantizer(hwquant, arguments, tmp_path):
    options = [
        "--bits",
        4,
        "--activation-bits",
        6,
        "--per-channel",
        "--anchor",
        "max",
        "--rounding",
        "truncate",
    ]
    options += [
        "--literal-range",
        "--scales",
        "multiplier",
        "--calibration",
        "percentile",
        "--percentile",
        99,
    ]
    options += ["--no-bias-correction", "--no-error-compensation", "--no-equalization"]
    outcome = hwquant("quantize", *arguments, *options, "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.json["quantizer"] == {
        "bits": 4,
        "activation_bits": 6,
        "bias_bits": None,
        "grid": "auto",
        "per_channel": True,
        "symmetric": False,
        "anchor": "max",
        "rounding": "truncate",
        "literal_range": True,
        "scales": "multiplier",
        "calibration_method": "percentile",
        "percentile": 99.0,
        "bias_correction": False,
        "chain_bits": None,
        "error_compensation": False,
        "equalization": False,
    }
    (term,) = hwq.load(tmp_path / "net.hwq").nodes[0].terms
    assert (term.bits, term.anchor, term.scale.size) == (4, "max", 8)


def test_a_symmetric_network_has_no_offsets(hwquant, arguments, tmp_path):
    assert hwquant("quantize", *arguments, "--symmetric").status == 0
    for node in hwq.load(tmp_path / "net.hwq").nodes:
        for term in getattr(node, "terms", ()):
            assert not term.offset.any()


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ""])
@pytest.mark.parametrize("content", [b"", b"garbage " * 100, b"PK\x03\x04 truncated"])
def test_garbage_is_no_model(hwquant, arguments, tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    hwquant("quantize", path, *arguments[1:]).fails("model")
    assert not (tmp_path / "net.hwq").exists()


def test_a_truncated_model_is_refused(hwquant, arguments, tmp_path):
    content = arguments[0].read_bytes()
    for length in (1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "model.onnx").write_bytes(content[:length])
        hwquant("quantize", tmp_path / "model.onnx", *arguments[1:]).fails("model.onnx")


def test_a_truncated_pt2_is_refused(hwquant, arguments, tmp_path):
    import torch

    example = (torch.zeros(1, 1, 8, 8),)
    torch.export.save(torch.export.export(torch.nn.Conv2d(1, 2, 3).eval(), example), tmp_path / "whole.pt2")
    content = (tmp_path / "whole.pt2").read_bytes()
    assert hwquant("inspect", tmp_path / "whole.pt2").status == 0
    for length in (1, len(content) // 2, len(content) - 1):
        (tmp_path / "model.pt2").write_bytes(content[:length])
        hwquant("quantize", tmp_path / "model.pt2", *arguments[1:]).fails("model.pt2")


def test_an_absent_model_and_a_pickle_are_refused(hwquant, arguments, tmp_path):
    hwquant("quantize", tmp_path / "none.onnx", *arguments[1:]).fails("none.onnx")
    (tmp_path / "model.pth").write_bytes(b"")
    hwquant("quantize", tmp_path / "model.pth", *arguments[1:]).fails("is a pickle of PyTorch")


def test_an_unsupported_operator_is_named_with_its_node(hwquant, arguments, tmp_path):
    import onnx

    model = onnx.load(arguments[0])
    node = next(node for node in model.graph.node if node.name == "relu1")
    node.op_type = "Hardmax"
    onnx.save(model, tmp_path / "model.onnx")
    outcome = hwquant("quantize", tmp_path / "model.onnx", *arguments[1:], "--no-host").fails("Hardmax")
    assert "relu1" in outcome.stderr


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(hwquant, arguments, tmp_path, value):
    import onnx
    from onnx import numpy_helper

    model = onnx.load(arguments[0])
    weight = next(item for item in model.graph.initializer if item.name == "conv2.weight")
    array = numpy_helper.to_array(weight).copy()
    array[0, 0, 0, 0] = value
    weight.CopyFrom(numpy_helper.from_array(array, "conv2.weight"))
    onnx.save(model, tmp_path / "model.onnx")
    hwquant("quantize", tmp_path / "model.onnx", *arguments[1:]).fails("conv2")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((4, 1, 8, 8), np.nan, np.float32), "holds NaN or infinity"),
        (np.zeros((4, 8, 8), np.float32), "needs (N, 1, 8, 8)"),
        (np.zeros((4, 1, 8, 8), np.int32), "give float32, float64, int8 or uint8"),
        (np.zeros((0, 1, 8, 8), np.uint8), "N >= 1"),
    ],
)
def test_bad_calibration_data_are_refused(hwquant, arguments, tmp_path, x, message):
    np.savez(tmp_path / "calibration.npz", x=x)
    hwquant("quantize", arguments[0], "-c", tmp_path / "calibration.npz", *arguments[3:]).fails(message)


def test_an_output_that_cannot_be_written_is_refused_before_the_work(hwquant, arguments, tmp_path):
    hwquant("quantize", "none.onnx", "-c", "c.npz", "-o", tmp_path / "no" / "net.hwq").fails("does not exist")
    hwquant("quantize", "none.onnx", "-c", "c.npz", "-o", tmp_path).fails("it is a folder; name a file")
    hwquant("quantize", *arguments[:3], "-o", "/proc/net.hwq").fails("cannot write /proc/net.hwq")


def test_a_chain_without_rescaling_is_said_and_runs_in_hardware(hwquant, arguments, demo_folder, tmp_path):
    outcome = hwquant("quantize", *arguments, "--chain-bits", 20)
    assert outcome.status == 0, outcome.stderr
    assert "no rescaling in relu1 -> relu2: sums of 18 bits are handed on" in " ".join(outcome.stdout.split())
    assert hwquant("compile", tmp_path / "net.hwq", "--array", "4x4", "-o", tmp_path / "build").status == 0
    found = hwquant("quantize", *arguments, "--chain-bits", 9, "--json").json
    assert (found["chains"], [item["kind"] for item in found["warnings"]]) == ([], ["no_chain"])


def test_people_are_told_whether_channels_are_balanced(hwquant, arguments):
    outcome = hwquant("quantize", *arguments, "--bits", 4)
    assert outcome.status == 0, outcome.stderr
    found = re.search(
        r"channels (not )?balanced: balanced ([\d.]+) dB at the outputs, ([\d.]+) dB", outcome.stdout
    )
    assert bool(found[1]) == (float(found[2]) < float(found[3]) + 0.2)
    assert "balanced" not in hwquant("quantize", *arguments, "--no-equalization", "--bits", 4).stdout


def test_a_mid_rise_grid_gives_odd_weights(hwquant, arguments):
    outcome = hwquant("quantize", *arguments, "--bits", 2, "--grid", "mid_rise")
    assert outcome.status == 0, outcome.stderr
    weights = [term.weight for node in hwq.load(arguments[-1]).nodes for term in getattr(node, "terms", ())]
    assert len(weights) == 3
    assert all((weight % 2 == 1).all() for weight in weights)


def test_a_file_of_integers_needs_nothing_else(hwquant, tmp_path):
    from hwquant_testing.tflite_networks import network as tflite_network

    model, path = tmp_path / "net.tflite", tmp_path / "net.hwq"
    model.write_bytes(tflite_network(1, np.int8, ["depthwise"], classes=4))
    outcome = hwquant("quantize", model, "-o", path)
    assert outcome.status == 0, outcome.stderr
    assert "with the integers that the network had" in outcome.stdout
    assert "0 samples" not in outcome.stdout
    scales = [tensor.scale for tensor in hwq.load(path).tensors.values()]
    assert len(scales) == 4
