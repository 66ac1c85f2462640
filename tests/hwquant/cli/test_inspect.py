"""``hwquant inspect``."""

import pytest


def test_a_float_network_is_shown_layer_by_layer(hwquant, demo_folder):
    result = hwquant("inspect", demo_folder / "digits.onnx", "--json").json
    assert result["kind"] == "float"
    assert [layer["operation"] for layer in result["layers"]] == [
        "conv 3x3 pad 1",
        "ReLU",
        "conv 3x3 pad 1",
        "ReLU",
        "max pool 2x2 /2",
        "fully connected",
    ]
    assert [layer["shape"] for layer in result["layers"]][::5] == [[8, 8, 8], [10, 1, 1]]
    assert result["parameters"] == 8 * 9 + 8 + 16 * 8 * 9 + 16 + 256 * 10 + 10
    assert result["macs"] == 80896


def test_a_torch_export_program_is_shown(hwquant, tmp_path):
    import torch
    from torch import nn

    module = nn.Sequential(
        nn.Conv2d(2, 4, (3, 1), stride=2, dilation=(2, 1)), nn.ReLU6(), nn.AvgPool2d((1, 2))
    ).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 2, 9, 8),)), tmp_path / "model.pt2")
    operations = [
        layer["operation"] for layer in hwquant("inspect", tmp_path / "model.pt2", "--json").json["layers"]
    ]
    assert operations == ["conv 3x1 /2 dilation 2x1", "clip 0..6", "average pool 1x2 /1x2"]


def test_an_integer_network_is_shown_with_formats_and_noise(hwquant, network, digits_qgraph):
    result = hwquant("inspect", network, "--json").json
    assert result["kind"] == "integer"
    (term,) = digits_qgraph.nodes[0].terms
    first = result["layers"][0]
    assert (first["name"], first["bits"], first["offset"]) == ("relu1", 8, term.offset.tolist())
    assert first["shift"] == digits_qgraph.nodes[0].shift.tolist()
    assert first["sqnr_db"] > 30
    assert result["inputs"][0]["zero_point"] == digits_qgraph.tensors["image"].zero_point
    text = hwquant("inspect", network).stdout
    for word in ("relu1", "relu2", "pool", "scores", "SQNR", "offset", "shift"):
        assert word in text


def test_a_build_is_shown_with_its_program(hwquant, digits_build):
    result = hwquant("inspect", digits_build.folder, "--json").json
    assert result["cycles"] == digits_build.report.cycles
    assert result["network"]["name"] == "digits"
    assert result["config"] == digits_build.program.config.to_json()
    assert "program" not in result
    listing = hwquant("inspect", digits_build.folder, "--program", "--json").json["program"]
    assert len(listing) == len(digits_build.program.words)
    assert listing[-1] == "END"
    assert f"{len(listing) - 1:5}  END" in hwquant("inspect", digits_build.folder, "--program").stdout


def test_names_are_printed_as_they_are(hwquant, tmp_path):
    import onnx

    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="[bold]relu[/bold]")
    shape = [1, 1, 2, 2]
    graph = onnx.helper.make_graph(
        [node],
        "odd",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "odd.onnx")
    assert "[bold]relu[/bold]" in hwquant("inspect", tmp_path / "odd.onnx").stdout


@pytest.mark.parametrize("content", [b"", b"text\n", b"PK\x03\x04"])
def test_files_that_hwquant_does_not_read_are_refused(hwquant, tmp_path, content):
    for name in ("thing", "thing.hwq", "thing.onnx", "thing.pt2"):
        (tmp_path / name).write_bytes(content)
        hwquant("inspect", tmp_path / name).fails(name)


def test_absent_files_folders_without_a_build_and_listings_of_networks_are_errors(hwquant, tmp_path, network):
    hwquant("inspect", tmp_path / "none.hwq").fails("none.hwq")
    hwquant("inspect", tmp_path).fails("is no build folder")
    hwquant("inspect", network, "--program").fails("has no program")


def test_a_pass_of_the_compiler_is_shown_layer_by_layer(hwquant, network, digits_program):
    result = hwquant("inspect", network, "--array", "8x8", "--pass", "mapped", "--json").json
    assert (result["pass"], result["array"]) == ("mapped", "8x8")
    assert [row["layer"] for row in result["rows"]] == [layer.name for layer in digits_program.layers]
    text = hwquant("inspect", network, "--array", "8x8", "--pass", "mapped").stdout
    assert "strategy" in text
    assert "columns in a word" in text


def test_a_pass_takes_the_options_of_compile(hwquant, network):
    sizes = hwquant("inspect", network, "--array", "4x4", "--pass", "sized", "--offset", "sum", "--json").json
    assert {"field": "offset", "value": "sum", "needed": None} in sizes["rows"]
    arguments = ("inspect", network, "--array", "4x4", "--pass")
    hwquant(*arguments, "sized", "--weight-depth", 3).fails("weight_depth")
    assert hwquant(*arguments, "tiles", "--weight-depth", 3, "--layer", "relu1", "--json").json["rows"]


def test_a_pass_needs_a_network_and_an_array(hwquant, network):
    hwquant("inspect", network, "--pass", "mapped").fails("--array")
    hwquant("inspect", network, "--array", "8x8").fails("--pass")
    hwquant("inspect", network, "--array", "8x8", "--pass", "mapped", "--layer", "none").fails(
        "no layer 'none'"
    )
