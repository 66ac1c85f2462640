"""The numbers of a build agree with the program, the cycle model and each other."""

import io
import json

import pytest
from hwquant_testing.small_networks import Net
from rich.console import Console

from hwquant.cli.tables import external_tables, hardware_table, layer_table
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory
from hwquant.program.memories import memory_bits
from hwquant.report import make_report


def test_layers_add_up_to_the_whole(digits_program, digits_qgraph):
    report = make_report(digits_program)
    times = timing(digits_program)
    assert report.cycles == times.cycles == sum(layer.cycles for layer in report.layers)
    assert report.frame_cycles == times.frame_cycles
    assert report.macs == digits_qgraph.macs() == sum(layer.macs for layer in report.layers) == 80896
    assert report.utilization == 80896 / (64 * report.cycles)
    for layer in report.layers:
        assert layer.utilization == layer.macs / (64 * layer.cycles)
        assert layer.cycles >= layer.ideal_cycles > 0


def test_transfers_and_memories_are_those_of_the_program(digits_program):
    report = make_report(digits_program)
    # The first layer's kernel rows are packed: 8x8 words of 3 pixels; ten scores are two words of 8 lanes.
    assert (report.words_in, report.words_out, report.word_bits) == (64, 2, 64)
    assert report.memory_bits == memory_bits(digits_program.config)
    assert report.weight_bytes * 8 == report.memory_bits["weight"]
    assert sum(layer.weight_bytes for layer in report.layers) == report.weight_bytes
    assert report.program_words == len(digits_program.words)
    assert report.checksum == digits_program.checksum


@pytest.mark.parametrize(("offset", "operand"), [("edge", "9-bit"), ("sum", "8-bit")])
def test_the_reason_says_what_the_offset_costs(digits_qgraph, offset, operand):
    report = make_report(compile_network(digits_qgraph, (8, 8), offset=offset))
    assert report.offset == offset
    assert operand in report.offset_reason


def test_a_symmetric_network_needs_no_offset(digits_graph, demo_folder):
    from hwquant.data import load_samples
    from hwquant.quantize import quantize

    calibration = load_samples(demo_folder / "calibration.npz", digits_graph.inputs).x
    qgraph = quantize(digits_graph, calibration, symmetric=True)
    report = make_report(compile_network(qgraph, (8, 8)))
    assert (report.offset, report.offset_reason) == ("none", "every offset of the network is zero")
    with pytest.raises(HwquantError, match="offset must be"):
        compile_network(qgraph, (8, 8), offset="middle")


def test_offsets_of_one_that_are_appended_are_not_called_zero():
    net = Net(x=(4, 3, 3))
    net.conv("x", 2, bits=1, step=2, offset=1)
    report = make_report(compile_network(net.build(), (4, 4)))
    assert (report.offset, report.weight_bits) == ("none", 1)
    assert "a 1 appended" in report.offset_reason


def test_json_holds_plain_values_and_tables_every_layer(digits_program):
    report = make_report(digits_program)
    assert json.loads(json.dumps(report.to_json()))["layers"][0]["covers"] == list(report.layers[0].covers)
    console = Console(width=120, file=io.StringIO())
    console.print(layer_table(report), hardware_table(report))
    text = console.file.getvalue()
    for layer in report.layers:
        assert f"{layer.cycles:,}" in text
    assert f"{sum(report.memory_bits.values()):,}" in text
    assert f"{report.checksum:08x}" in text


def test_external_memory_has_its_bounds_bytes_and_layers_and_nothing_else_has_them(
    digits_qgraph, digits_program
):
    program = compile_network(
        digits_qgraph, (4, 4), external=ExternalMemory(16), limits={"weight_depth": 256}
    )
    report = make_report(program)
    external = report.external
    assert external.least_cycles == timing(program, program.memory.quickest).cycles < report.cycles
    assert sum(external.stalled.values()) == timing(program).stalled
    assert 0 < external.in_use < 1
    plain = json.loads(json.dumps(report.to_json()))["external"]
    assert plain["moved_bytes"]["weights"] >= report.weight_bytes
    assert [layer["covers"] for layer in plain["layers"]] == [list(layer.covers) for layer in report.layers]
    console = Console(width=160, file=io.StringIO())
    console.print(*external_tables(report))
    assert f"{external.least_cycles:,} to {report.cycles:,} cycles" in console.file.getvalue()
    assert "external" not in make_report(digits_program).to_json()
    assert external_tables(make_report(digits_program)) == []
