"""``hwquant compile`` and ``hwquant estimate``."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant import hwq
from hwquant.build import FILES, MANIFEST, PAGE, RECORD, load_build
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.isa import program_bits

LIMITS = {
    "--activation-depth": "activation_depth",
    "--weight-depth": "weight_depth",
    "--parameter-depth": "parameter_depth",
    "--program-depth": "program_depth",
    "--accumulator-bits": "accumulator_bits",
}


@pytest.fixture
def build(tmp_path):
    return tmp_path / "build"


def test_compile_writes_a_build_and_estimate_reads_it(hwquant, network, build, digits_qgraph):
    compiled = hwquant("compile", network, "--array", "8x8", "-o", build, "--json").json
    assert {item.name for item in build.iterdir()} == {*FILES, MANIFEST, PAGE, RECORD}
    assert (compiled["rows"], compiled["columns"]) == (8, 8)
    assert compiled["verilog"] == str(build / "hwquant.v")
    estimated = hwquant("estimate", build, "--json").json
    assert estimated == {
        key: value for key, value in compiled.items() if key not in ("build", "verilog", "page")
    }
    times = timing(compile_network(digits_qgraph, (8, 8)))
    assert estimated["cycles"] == times.cycles
    assert [layer["cycles"] for layer in estimated["layers"]] == list(times.layers)
    assert estimated["macs"] == 80896
    assert estimated["utilization"] == 80896 / (64 * times.cycles)
    for layer in estimated["layers"]:
        assert {"name", "cycles", "macs", "tiles", "tiles_skipped"} <= set(layer)


def test_text_for_people_names_the_verilog(hwquant, network, build):
    outcome = hwquant("compile", network, "--array", "4x8", "-o", build)
    assert outcome.status == 0
    assert f"the Verilog is {build / 'hwquant.v'}" in outcome.stdout
    for text in (outcome.stdout, hwquant("estimate", build).stdout):
        assert "digits on 4x8" in text
        assert "one inference" in text
        assert "memory bits" in text


def test_weights_come_from_a_memory_outside_where_it_is_asked_for(hwquant, network, build, demo_folder):
    options = ("--array", "4x4", "--external", "axi32", "--weight-depth", 256)
    compiled = hwquant("compile", network, *options, "-o", build, "--json").json
    program = load_build(build).program
    assert (program.config.external_bits, program.config.weight_depth) == (32, 256)
    assert compiled["cycles"] == timing(program).cycles
    checked = hwquant(
        *("simulate", build, "-d", demo_folder / "digits.npz", "-n", 2),
        *("--simulator", "cxxrtl", "--layers", "--json"),
    )
    assert checked.status == 0
    assert checked.json["mismatches"] == 0
    refused = hwquant("compile", network, *options, "--board", "ulx3s-85f", "-o", build)
    assert refused.status == 2
    assert (
        "the memory of the board ulx3s-85f has 16 bits: choose --external axi16, not axi32" in refused.stderr
    )


def test_a_program_comes_from_a_memory_outside_where_it_is_too_long(hwquant, network, build, demo_folder):
    options = ("--array", "4x4", "--external", "axi32", "--program-depth", 64)
    compiled = hwquant("compile", network, *options, "-o", build, "--json").json
    program = load_build(build).program
    assert (program.config.program_half, program.config.program_depth) == (32, 64)
    assert len(program.words) > 64
    assert compiled["cycles"] == timing(program).cycles
    assert compiled["memory_bits"]["program"] == 64 * program_bits(program.config)
    checked = hwquant(
        *("simulate", build, "-d", demo_folder / "digits.npz", "-n", 2),
        *("--simulator", "cxxrtl", "--layers", "--json"),
    )
    assert checked.status == 0
    assert checked.json["mismatches"] == 0


@pytest.mark.parametrize("offset", ["edge", "sum"])
def test_the_offset_is_added_where_it_is_asked_for(hwquant, network, build, offset):
    result = hwquant("compile", network, "--array", "8x8", "-o", build, "--offset", offset, "--json").json
    assert result["offset"] == offset


@pytest.mark.parametrize(("board", "offset"), [("tang-nano-9k", "sum"), ("ulx3s-25f", "edge")])
def test_the_boards_multipliers_decide_where_offsets_are_added(hwquant, tmp_path, build, board, offset):
    net = Net(x=(3, 3, 3))
    net.conv("x", 4, (2, 2), offset=200)
    path = tmp_path / "wide.hwq"
    hwq.save(net.build(), path)
    arguments = ("compile", path, "--array", "2x2", "-o", build, "--board")
    assert hwquant(*arguments, board, "--json").json["offset"] == offset
    hwquant(*arguments, "no-board").fails("there is no board 'no-board'")


@pytest.mark.parametrize("array", ["0x0", "3x500", "8by8", "8", "x8", "-8x8", "9x8x8", "2x8x8x8", "1x8", ""])
def test_an_array_that_cannot_be_is_refused(hwquant, network, build, array):
    hwquant("compile", network, f"--array={array}", "-o", build).fails(
        f"array {array}" if array in ("0x0", "3x500", "1x8") else "array"
    )
    assert not build.exists()


@pytest.mark.parametrize("flag", LIMITS)
def test_a_network_that_does_not_fit_says_by_how_much(hwquant, network, build, digits_qgraph, flag):
    needed = getattr(compile_network(digits_qgraph, (8, 8), pack_input="none").config, LIMITS[flag])
    arguments = ("compile", network, "--array", "8x8", "--pack-input", "none", "-o", build, flag)
    outcome = hwquant(*arguments, needed - 1)
    outcome.fails(f"{LIMITS[flag]} {needed} is needed")
    assert "1 too few; it would fit with" in outcome.stderr
    assert not build.exists()
    assert hwquant(*arguments, needed).status == 0


def test_shallow_accumulators_take_more_instructions_but_fit(hwquant, network, build):
    deep = hwquant("compile", network, "--array", "8x8", "-o", build, "--json").json
    shallow = hwquant(
        "compile", network, "--array", "8x8", "-o", build, "--accumulator-depth", 16, "--json"
    ).json
    assert shallow["memory_bits"]["accumulator"] < deep["memory_bits"]["accumulator"]
    assert shallow["program_words"] > deep["program_words"]


def test_an_output_that_cannot_be_written_is_refused(hwquant, network, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    arguments = ("compile", network, "--array", "8x8", "-o")
    hwquant(*arguments, tmp_path / "mine").fails("holds 'notes.txt', which hwquant did not write")
    hwquant(*arguments, tmp_path / "no" / "build").fails("does not exist; make it first")
    hwquant(*arguments, network).fails("it is a file")
    hwquant(*arguments, "/proc/build").fails("cannot write /proc/build")
    assert [item.name for item in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_what_is_no_network_is_refused(hwquant, build, tmp_path, demo_folder):
    for path in (demo_folder / "digits.onnx", demo_folder / "digits.npz", tmp_path / "none.hwq"):
        hwquant("compile", path, "--array", "8x8", "-o", build).fails(path.name)
    assert not build.exists()


def test_a_damaged_build_is_named(hwquant, network, build, tmp_path):
    hwquant("compile", network, "--array", "8x8", "-o", build)
    hwquant("estimate", tmp_path / "none").fails("there is no build folder")
    for name in FILES:
        content = (build / name).read_bytes()
        position = len(content) // 3
        (build / name).write_bytes(
            content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]
        )
        hwquant("estimate", build, "--json").fails(f"{name} is damaged")
        (build / name).write_bytes(content)
    assert hwquant("estimate", build).status == 0


def test_a_board_gives_its_memory_where_the_network_does_not_fit_without(hwquant, network, tmp_path):
    pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards")
    net = Net(seed=3, x=(8, 5, 5))
    net.conv(net.conv("x", 128, (3, 3), padding=(1, 1, 1, 1)), 128, (3, 3), padding=(1, 1, 1, 1))
    hwq.save(net.build(), tmp_path / "large.hwq")
    options = ("--board", "ulx3s-25f", "--array", "8x8")
    compiled = hwquant("compile", tmp_path / "large.hwq", *options, "-o", tmp_path / "large", "--json").json
    program = load_build(tmp_path / "large").program
    assert program.memory.data_bits == 16
    assert compiled["cycles"] == timing(program).cycles
    assert compiled["external"]["memory"] == program.memory.to_json()
    fitted = hwquant("fit", tmp_path / "large.hwq", *options)
    assert "external memory: " in fitted.stdout
    assert f"{compiled['cycles']:,} cycles" in fitted.stdout
    assert hwquant("fit", tmp_path / "large.hwq", *options, "--external", "none").status == 1
    hwquant("compile", network, *options, "-o", tmp_path / "auto")
    hwquant("compile", network, *options, "--external", "none", "-o", tmp_path / "none")
    for name in FILES:
        assert (tmp_path / "auto" / name).read_bytes() == (tmp_path / "none" / name).read_bytes()


def test_what_external_memory_does_not_go_with_is_refused_by_name(hwquant, network, tmp_path):
    build = tmp_path / "build"
    arguments = ("compile", network, "-o", build, "--external", "axi16")
    hwquant(*arguments, "--array", "4x4", "--batch", 2).fails(
        "--batch and --external axi16 do not go together"
    )
    hwquant(*arguments, "--array", "2x4x4").fails("several arrays cannot have external memory")
    hwquant(*arguments, "--array", "4x4", "--board", "generic").fails("the board generic has no memory")
    hwquant(*arguments, "--board", "icebreaker").fails(
        "the board icebreaker has no memory that hwquant knows"
    )
    small = ("compile", network, "-o", build, "--array", "4x4", "--weight-depth", 64)
    hwquant(*small).fails("or with external memory (--external axi64)")
    assert hwquant(*small, "--external", "axi64").status == 0


def test_a_port_without_a_width_has_that_of_the_default(hwquant, network, build):
    assert hwquant("compile", network, "--array", "4x4", "--external", "axi", "-o", build).status == 0
    assert load_build(build).program.memory.data_bits == 64
