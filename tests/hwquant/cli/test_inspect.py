"""``hwquant inspect``."""

import dataclasses

import pytest
from hwquant_testing.banded_networks import strided_residual
from hwquant_testing.small_networks import Net

from hwquant import save_network
from hwquant.build import write_build
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.images import make_images
from hwquant.program.listing import PASSES


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


def test_bands_are_shown_for_a_memory_that_is_too_small(hwquant, tmp_path):
    net = Net(x=(3, 12, 12))
    net.conv("x", 8, (3, 3), padding=(1, 1, 1, 1))
    save_network(net.build(), tmp_path / "net.hwq")
    arguments = ("inspect", tmp_path / "net.hwq", "--array", "4x4", "--pass", "bands")
    assert {row["output"] for row in hwquant(*arguments, "--json").json["rows"]} == {"inside"}
    small = (*arguments, "--external", "axi32", "--activation-depth", 256)
    result = hwquant(*small, "--json").json
    assert result["outside"] > 0
    assert [(row["output"], row["bands"] > 1) for row in result["rows"]] == [("outside", True)]
    assert "bound by" in hwquant(*small).stdout
    hwquant("inspect", tmp_path / "net.hwq", "--external", "axi32").fails("--pass")


def test_a_pass_is_that_of_what_is_compiled_for_a_board(hwquant, network, tmp_path):
    pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards")
    options = ("--board", "ulx3s-25f", "--array", "4x4")
    for choice, outside in (("auto", False), ("axi", True)):
        arguments = (*options, "--external", choice)
        hwquant("compile", network, *arguments, "-o", tmp_path / choice)
        for name in ("sized", "emitted"):
            shown = hwquant("inspect", network, *arguments, "--pass", name, "--json").json
            assert shown == hwquant("inspect", tmp_path / choice, "--pass", name, "--json").json
        assert ("MOVE" in str(shown["rows"])) == outside
    hwquant("inspect", tmp_path / "axi", "--board", "ulx3s-25f", "--pass", "sized").fails("has its array")
    hwquant("inspect", network, "--board", "ulx3s-25f").fails("--pass")
    hwquant("inspect", network, "--pass", "sized").fails("--array RxC or --board BOARD")
    hwquant("inspect", network, "--board", "generic", "--pass", "sized").fails("'generic' has no device")


def test_a_program_from_external_memory_says_how_much_of_it_is_inside(hwquant, network):
    arguments = ("inspect", network, "--array", "4x4", "--pass", "emitted", "--external", "axi32")
    plain = hwquant(*arguments, "--json").json
    assert "inside at a time" not in plain
    result = hwquant(*arguments, "--program-depth", 70, "--json").json
    assert result["inside at a time"] == 64
    assert result["instructions"] == len(result["rows"]) > plain["instructions"] > 70
    assert (
        sum("MOVE kind=4" in row["instruction"] for row in result["rows"])
        == -(-result["instructions"] // 32) - 1
    )


@pytest.mark.parametrize("name", PASSES)
def test_the_passes_of_a_build_are_those_that_made_its_program(hwquant, digits_build, name):
    program = digits_build.program
    result = hwquant("inspect", digits_build.folder, "--pass", name, "--json").json
    assert result["array"] == f"{program.config.rows}x{program.config.columns}"
    if name == "sized":
        found = {row["field"]: row["value"] for row in result["rows"]}
        assert found == {key: getattr(program.config, key) for key in found}
    if name == "emitted":
        assert len(result["rows"]) == len(program.instructions)


def test_a_build_of_another_compiler_has_no_passes(hwquant, digits_build, monkeypatch):
    def other_images(*arguments):
        images = make_images(*arguments)
        return dataclasses.replace(images, bias=images.bias + 1)

    monkeypatch.setattr("hwquant.program.compilation.make_images", other_images)
    hwquant("inspect", digits_build.folder, "--pass", "mapped").fails("compile it again")


def test_a_build_whose_plan_was_made_for_deeper_memories_says_what_to_inspect(hwquant, tmp_path):
    limits = {"activation_depth": 128, "weight_depth": 120, "parameter_depth": 64}
    memory = ExternalMemory(16, timing=MemoryTiming(7, 3, 4, row=64))
    qgraph = strided_residual()
    write_build(qgraph, compile_network(qgraph, (6, 8), external=memory, limits=limits), tmp_path / "build")
    hwquant("inspect", tmp_path / "build", "--pass", "bands").fails(
        "net.hwq with the options that it was compiled with"
    )


def test_what_is_too_wide_for_a_table_is_not_cut_short(hwquant, tmp_path):
    net = Net(x=(3, 12, 12))
    net.conv("x", 24, (3, 3), padding=(1, 1, 1, 1), stride=(2, 1), name="encoder.stage1.block1.conv1" * 4)
    save_network(net.build(), tmp_path / "net.hwq")
    text = hwquant("inspect", tmp_path / "net.hwq", "--array", "8x8", "--pass", "lowered").stdout
    assert "…" not in text


def test_a_pass_needs_a_network_and_an_array(hwquant, network, digits_build):
    hwquant("inspect", network, "--pass", "mapped").fails("--array")
    hwquant("inspect", network, "--array", "8x8").fails("--pass")
    hwquant("inspect", network, "--weight-depth", 3).fails("--pass")
    hwquant("inspect", network, "--offset", "sum").fails("--pass")
    hwquant("inspect", digits_build.folder, "--pass", "mapped", "--array", "8x8").fails("has its array")
    hwquant("inspect", digits_build.folder, "--pass", "mapped", "--program").fails("--program")
    hwquant("inspect", network, "--array", "8x8", "--pass", "mapped", "--layer", "none").fails(
        "no layer 'none'"
    )
