"""Our models of block RAMs and multipliers do what the Verilog does that Yosys made them of."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from hwquant.boards import tools
from hwquant.boards.device import DEVICES
from hwquant.boards.families import FAMILIES
from hwquant.boards.netlist import with_models

pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")

DEVICE = {"ecp5": DEVICES["lfe5u-25f"], "gowin": DEVICES["gw2ar-18"]}
CYCLES = 3000
INPUTS = {
    "write": 1,
    "write2": 1,
    "read": 1,
    "read2": 1,
    "reset": 1,
    "lanes": 4,
    "a": 14,
    "b": 14,
    "c": 14,
    "d": 36,
}

WRITE = "if (write) m[a] <= d;\n"
READ = "if (read) q <= m[b];\n"
LANES = "for (i = 0; i < BITS / 9; i = i + 1) if (write && lanes[i]) m[a][9*i +: 9] <= d[9*i +: 9];\n"
HELD = "if (read) if (write) m[a] <= d; else q <= m[a];\n"
MEMORIES = {
    "rom": (1024, 30, READ),
    "bits": (16384, 1, WRITE + READ),
    "pairs": (8192, 2, WRITE + READ),
    "nibbles": (4096, 4, WRITE + READ),
    "nines": (2048, 9, WRITE + READ),
    "halves": (1024, 18, WRITE + READ),
    "words": (512, 36, WRITE + READ),
    "two_lanes": (1024, 18, LANES + READ),
    "four_lanes": (512, 36, LANES + READ),
    "wide_reads": (1024, 18, WRITE + "if (read) q2 <= {m[{b[9:1], 1'b1}], m[{b[9:1], 1'b0}]};"),
    "wide_reads_of_nibbles": (
        4096,
        4,
        WRITE + "if (read) q2 <= {" + ", ".join(f"m[{{b[11:3], 3'd{n}}}]" for n in range(7, -1, -1)) + "};",
    ),
    "wide_writes": (
        1024,
        18,
        READ + "if (write) begin m[{a[9:1], 1'b0}] <= d[17:0]; m[{a[9:1], 1'b1}] <= d[35:18]; end",
    ),
    "cleared": (512, 20, WRITE + "if (reset) q <= 0; else if (read) q <= m[b];"),
    "old": (1024, 17, "if (read) begin if (write) m[a] <= d; q <= m[a]; end"),
    "new": (1024, 18, "if (read) begin if (write) begin m[a] <= d; q <= d; end else q <= m[a]; end"),
    "held": (2048, 8, HELD),
    "held_pairs": (8192, 2, HELD),
    "two_ports": (
        1024,
        16,
        HELD + "end always @(posedge clk) begin if (read2) if (write2) m[b] <= ~d; else q2 <= m[b];",
    ),
    "meeting": (512, 33, WRITE + "if (read) q <= m[c];"),
    "registered": (1024, 18, WRITE + "if (read) begin r <= m[b]; q <= r; end"),
    "registered_words": (512, 36, WRITE + "if (read) begin r <= m[b]; q <= r; end"),
    "registered_always": (2048, 8, WRITE + "r <= m[b]; q <= r;"),
    "registered_at_times": (1024, 30, "r <= m[b]; if (read) q <= r;"),
    "registered_port_at_times": (1024, 18, WRITE + "if (read) r <= m[b]; q <= r;"),
    "registered_otherwise": (1024, 18, WRITE + "if (read) r <= m[b]; if (read2) q <= r;"),
    "registered_with_reset": (1024, 18, WRITE + "r <= m[b]; if (reset) q <= 0; else q <= r;"),
    "registered_and_read": (1024, 18, WRITE + "r <= m[b]; q <= r; q2 <= r + 1;"),
    "registered_set": (1024, 18, WRITE + "r <= m[b]; if (reset) q <= -1; else q <= r;"),
    "registered_unless": (1024, 18, WRITE + "r <= m[b]; if (!read) q <= r;"),
    "registered_in_part": (1024, 18, WRITE + "r <= m[b]; q <= r ^ 1;"),
}
ABSORBED = {"registered", "registered_words", "registered_always", "registered_at_times"}
"""Those whose register is that of an ECP5 block RAM."""
"""Words, their bits and what happens at an edge of the clock. Addresses "a" and "b" never meet, "c" is one of them."""


def memory(name):
    """A module with a plain memory. Memories take the upper bits of addresses."""
    words, bits, what = MEMORIES[name]
    width = words.bit_length() - 1
    # Where addresses meet, Yosys must add the logic that makes it right.
    attributes = 'ram_style = "block"' + ("" if name == "meeting" else ", no_rw_check")
    ports = ", ".join(f"input [{size - 1}:0] {port}" for port, size in INPUTS.items())
    for port in "abc":
        ports = ports.replace(f"[13:0] {port}", f"[{width - 1}:0] {port}")
    return f"""
module {name}(input clk, {ports}, output reg [{bits - 1}:0] q, output reg [35:0] q2);
  ({"*"} {attributes} *) reg [{bits - 1}:0] m[0:{words - 1}];
  reg [{bits - 1}:0] r;
  integer i;
  initial $readmemh("{name}.hex", m);
  always @(posedge clk) begin
    {what.replace("BITS", str(bits))}
  end
endmodule"""


def memories(top):
    """All of them on the same inputs."""
    ports = ", ".join(f"input [{bits - 1}:0] {port}" for port, bits in INPUTS.items())
    outputs, instances = [], []
    for name, (words, bits, _) in MEMORIES.items():
        outputs += [f"output [{bits - 1}:0] {name}_q", f"output [35:0] {name}_q2"]
        wires = {port: port for port in INPUTS}
        wires |= {port: f"{port}[13:{15 - words.bit_length()}]" for port in "abc"}
        connections = "".join(f".{port}({wire}), " for port, wire in wires.items())
        instances.append(f"  {name} {name}(.clk(clk), {connections}.q({name}_q), .q2({name}_q2));")
    head = f"module {top}(input clk, {ports}, {', '.join(outputs)});"
    return "\n".join([*map(memory, MEMORIES), head, *instances, "endmodule\n"])


def comparison():
    """A testbench that says which outputs of ``expected`` and ``netlist`` differ, and how often."""
    names = [f"{name}_{port}" for name in MEMORIES for port in ("q", "q2")]
    inputs = ", ".join(f".{port}({port})" for port in ("clk", *INPUTS))
    lines = ["module testbench;", "  reg clk = 0;"]
    lines += [f"  reg [{bits - 1}:0] {port};" for port, bits in INPUTS.items()]
    lines += [f"  reg [{sum(INPUTS.values()) - 1}:0] rows[0:{CYCLES - 1}];", "  integer i;"]
    for name in names:
        bits = 36 if name.endswith("q2") else MEMORIES[name[:-2]][1]
        lines += [
            f"  wire [{bits - 1}:0] {name}, got_{name};",
            f"  integer wrong_{name} = 0, seen_{name} = 0;",
        ]
    for side, prefix in (("expected", ""), ("netlist", "got_")):
        outputs = ", ".join(f".{name}({prefix}{name})" for name in names)
        lines.append(f"  {side} {side}({inputs}, {outputs});")
    lines += [
        '  initial begin $readmemh("rows.hex", rows);',
        f"    for (i = 0; i < {CYCLES}; i = i + 1) begin",
    ]
    lines += [f"      {{{', '.join(INPUTS)}}} = rows[i]; #1 clk = 1; #1;"]
    for name in names:
        # Nothing was read yet while all of it is undefined.
        lines.append(
            f"      if (^{name} !== 1'bx) begin seen_{name} = seen_{name} + 1;"
            f" if ({name} !== got_{name}) wrong_{name} = wrong_{name} + 1; end"
        )
    lines += ["      clk = 0;", "    end"]
    lines += [f'    $display("{name} %0d %0d", seen_{name}, wrong_{name});' for name in names]
    return "\n".join([*lines, "  end", "endmodule\n"])


def stimulus(rng):
    """Inputs of each cycle as one number. Addresses come from few, so that what was written is read."""
    pool = rng.choice(256, 40, replace=False)
    for _ in range(CYCLES):
        values = {name: int(rng.integers(0, 1 << bits)) for name, bits in INPUTS.items()}
        a, b = (int(value) for value in rng.choice(pool if rng.random() < 0.9 else 256, 2, replace=False))
        values["a"], values["b"] = a << 6 | int(rng.integers(2)) << 5, b << 6 | int(rng.integers(2)) << 5
        values["c"] = values["a"] if rng.random() < 0.5 else values["b"]
        values["reset"] = int(rng.random() < 0.1)
        row = 0
        for name, bits in INPUTS.items():
            row = row << bits | values[name]
        yield row


def yosys(folder, *commands):
    script = "import sys\nfrom pyosys import libyosys\ndesign = libyosys.Design()\n"
    script += "for command in sys.argv[1:]:\n    libyosys.run_pass(command, design)"
    subprocess.run([sys.executable, "-c", script, *commands], cwd=folder, check=True, capture_output=True)


def icarus(folder, *sources):
    """What a simulation prints, and its exit status."""
    build = ["iverilog", "-g2005", "-s", "testbench", "-o", "simulation", *sources]
    subprocess.run(build, cwd=folder, check=True)
    run = subprocess.run(["vvp", "-n", "simulation"], cwd=folder, capture_output=True, text=True, check=False)
    return run.stdout, run.returncode


@pytest.mark.parametrize("family", ["ecp5", "gowin"])
def test_block_rams_are_the_memories_that_they_were_made_of(family, tmp_path):
    rng = np.random.default_rng(5)
    for name, (words, bits, _) in MEMORIES.items():
        values = rng.integers(0, 1 << bits, words).tolist()
        (tmp_path / f"{name}.hex").write_text("\n".join(f"{value:x}" for value in values))
    (tmp_path / "rows.hex").write_text("\n".join(f"{row:x}" for row in stimulus(rng)))
    (tmp_path / "expected.v").write_text(memories("expected"))
    (tmp_path / "plain.v").write_text(memories("netlist"))
    (tmp_path / "testbench.v").write_text(comparison())
    yosys(tmp_path, "read_verilog plain.v", "proc", "write_rtlil plain.il")
    cells = tools.synthesize(tmp_path / "plain.il", DEVICE[family], "netlist", verilog="netlist.v")
    (tmp_path / "models.v").write_text(
        with_models((tmp_path / "netlist.v").read_text(), FAMILIES[family].models)
    )
    if family == "ecp5":
        assert cells["DP16KD"] >= len(MEMORIES)
        made = json.loads((tmp_path / "netlist.json").read_text())["modules"]["netlist"]["cells"]
        absorbed = {name for name, cell in made.items() if "OUTREG" in cell["parameters"].values()}
        assert {name.partition(".")[0] for name in absorbed} == ABSORBED
    else:
        assert {"SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B"} <= set(cells)
    printed, status = icarus(tmp_path, "testbench.v", "expected.v", "models.v")
    assert status == 0, printed
    results = {
        name: (int(seen), int(wrong)) for name, seen, wrong in re.findall(r"(\w+) (\d+) (\d+)", printed)
    }
    assert {name: wrong for name, (_, wrong) in results.items() if wrong} == {}
    wide = {"wide_reads", "wide_reads_of_nibbles"}
    used = {f"{name}_q" for name in MEMORIES if name not in wide} | {
        f"{name}_q2" for name in {*wide, "two_ports", "registered_and_read"}
    }
    assert {name for name, (seen, _) in results.items() if seen > CYCLES // 2} == used


PRODUCTS = {"narrow": (9, 9), "odd": (8, 5), "middle": (18, 18), "mixed": (11, 16), "wide": (30, 24)}


@pytest.mark.parametrize(("family", "cells"), [("ecp5", {"MULT18X18D"}), ("gowin", {"MULT9X9", "MULT18X18"})])
def test_multipliers_are_the_products_that_they_were_made_of(family, cells, tmp_path):
    outputs = ", ".join(
        f"output [{a + b - 1}:0] {name}, output {sign} [{a + b - 1}:0] {name}_signed"
        for name, (a, b) in PRODUCTS.items()
        for sign in ["signed"]
    )
    lines = [f"(input [29:0] a, input [23:0] b, {outputs});"]
    for name, (a, b) in PRODUCTS.items():
        x, y = f"a[{a - 1}:0]", f"b[{b - 1}:0]"
        lines.append(f"  assign {name} = {x} * {y}; assign {name}_signed = $signed({x}) * $signed({y});")
    body = "\n".join([*lines, "endmodule\n"])
    (tmp_path / "plain.v").write_text(f"module netlist{body}")
    (tmp_path / "expected.v").write_text(f"module expected{body}")
    yosys(tmp_path, "read_verilog plain.v", "proc", "write_rtlil plain.il")
    found = tools.synthesize(tmp_path / "plain.il", DEVICE[family], "netlist", verilog="netlist.v")
    assert cells <= set(found)
    (tmp_path / "models.v").write_text(
        with_models((tmp_path / "netlist.v").read_text(), FAMILIES[family].models)
    )
    bits = sum(2 * (a + b) for a, b in PRODUCTS.values())
    names = [f"{name}{suffix}" for name in PRODUCTS for suffix in ("", "_signed")]
    widths = [sum(PRODUCTS[name.removesuffix("_signed")]) for name in names]
    slices = [
        f".{name}(X[{sum(widths[:n])} +: {width}])" for n, (name, width) in enumerate(zip(names, widths))
    ]
    connections = ", ".join(slices)
    testbench = f"""
module testbench;
  reg [29:0] a; reg [23:0] b; wire [{bits - 1}:0] wanted, got; integer i, wrong = 0, seed = 3;
  expected expected(a, b, {connections.replace("X[", "wanted[")});
  netlist netlist(.a(a), .b(b), {connections.replace("X[", "got[")});
  initial begin
    for (i = 0; i < 500; i = i + 1) begin
      a = $random(seed); b = $random(seed); #1 if (wanted !== got || ^wanted === 1'bx) wrong = wrong + 1;
    end
    $display("%0d compared, %0d wrong", i, wrong);
  end
endmodule"""
    (tmp_path / "testbench.v").write_text(
        testbench.replace("expected expected(a, b, ", "expected expected(.a(a), .b(b), ")
    )
    printed, status = icarus(tmp_path, "testbench.v", "expected.v", "models.v")
    assert (printed.splitlines()[-1], status) == ("500 compared, 0 wrong", 0)


def test_registers_of_an_ecp5_multiplier_hold_and_clear(tmp_path):
    """The operand A and the product are always enabled, B is by CE1; all are cleared by RST0."""
    bus = lambda name, size, wire: ", ".join(f".{name}{n}({wire}[{n}])" for n in range(size))  # noqa: E731
    testbench = f"""
module testbench;
  reg clk = 0, enable, reset; reg signed [17:0] a, b, held_a = 0, held_b = 0; reg signed [35:0] product = 0;
  wire [35:0] got; integer i, wrong = 0, seed = 4;
  MULT18X18D #(
    .REG_INPUTA_CLK("CLK0"), .REG_INPUTB_CLK("CLK0"), .REG_INPUTB_CE("CE1"), .REG_OUTPUT_CLK("CLK0")
  ) multiplier(
    .CLK0(clk), .CE0(1'b1), .CE1(enable), .RST0(reset), .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
    {bus("A", 18, "a")}, {bus("B", 18, "b")}, {bus("P", 36, "got")}
  );
  always @(posedge clk) begin
    held_a <= reset ? 18'sd0 : a;
    if (reset) held_b <= 0; else if (enable) held_b <= b;
    product <= reset ? 36'sd0 : held_a * held_b;
  end
  initial begin
    for (i = 0; i < 500; i = i + 1) begin
      a = $random(seed); b = $random(seed); enable = $random(seed); reset = $random(seed) % 16 == 0;
      #1 clk = 1; #1 clk = 0; if (product !== got) wrong = wrong + 1;
    end
    $display("%0d compared, %0d wrong", i, wrong);
  end
endmodule"""
    (tmp_path / "testbench.v").write_text(with_models(testbench, FAMILIES["ecp5"].models))
    printed, status = icarus(tmp_path, "testbench.v")
    assert (printed.splitlines()[-1], status) == ("500 compared, 0 wrong", 0)


@pytest.mark.parametrize(
    ("family", "cell", "parameters", "message"),
    [
        ("ecp5", "DP16KD", '.REGMODE_B("OTHER")', "REGMODE_B OTHER is not modelled"),
        (
            "ecp5",
            "DP16KD",
            '.DATA_WIDTH_A(36), .DATA_WIDTH_B(36), .REGMODE_B("OUTREG")',
            "output registers of a half of a word are not modelled",
        ),
        ("ecp5", "DP16KD", '.CSDECODE_A("0b001")', "chip selects are not modelled"),
        ("ecp5", "DP16KD", '.WRITEMODE_A("OTHER")', "WRITEMODE_A OTHER is not modelled"),
        ("ecp5", "DP16KD", ".DATA_WIDTH_B(36)", "ports of 18 and 36 bits are not modelled"),
        ("ecp5", "DP16KD", ".DATA_WIDTH_B(8)", "ports of 8 bits are not modelled"),
        (
            "ecp5",
            "MULT18X18D",
            '.REG_OUTPUT_CLK("CLK0"), .REG_OUTPUT_CE("CE9")',
            "CE9 and RST0 are not modelled",
        ),
        ("gowin", "SDPX9B", ".READ_MODE(1'b1)", "READ_MODE 1 is not modelled"),
        ("gowin", "SPX9", ".WRITE_MODE(2'b11)", "WRITE_MODE 3 is not modelled"),
        ("gowin", "DPB", ".BLK_SEL_1(3'b001)", "BLK_SEL 1 is not modelled"),
        ("gowin", "MULT9X9", ".AREG(1'b1)", "registers are not modelled"),
    ],
)
def test_what_a_model_does_not_have_stops_the_simulation(family, cell, parameters, message, tmp_path):
    text = f'module testbench;\n  {cell} #({parameters}) cell_(); initial #1 $display("went on");\nendmodule'
    (tmp_path / "testbench.v").write_text(with_models(text, FAMILIES[family].models))
    printed, status = icarus(tmp_path, "testbench.v")
    assert message in printed
    assert status == 1
