"""The emitted text: the same every time, about the design and nothing else, each module once."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.verilog import to_rtlil, to_verilog, without_zeros
from hwquant.rtl_templates.yosys import run_yosys

CONFIGS = {
    "3x5": ArrayConfig(3, 5),
    "4x4, sum, multiplier": ArrayConfig(4, 4, offset="sum", multiplier_bits=12),
    "4x2, channel offsets": ArrayConfig(4, 2, channel_offsets=True),
    "2x11": ArrayConfig(2, 11, accumulator_depth=1),
    "3x4, narrow biases": ArrayConfig(3, 4, bias_bits=7, bias_zeros=11),
}
IMAGES = {"program": [1, 2, 0], "weights": [5, 6], "parameters": [0xABC], "checksum": 0x12345678}
PORTS = {
    "clk",
    "rst",
    *(f"{stream}__{name}" for stream in ("frames", "results") for name in ("valid", "ready", "payload")),
    *(f"bus__{name}" for name in ("address", "write", "write_data", "read_data")),
    *(f"monitor__{name}" for name in ("valid", "address", "data", "enable")),
}
HIERARCHY = {
    "registers",
    "sequencer",
    "host",
    "dispatcher",
    "weights",
    "streamer",
    "memory",
    "feed",
    "array",
    "parameter_reader",
    "collector",
    "writer",
}


def modules(text):
    """Body of each module by name, ports included."""
    return {
        match[1]: match[2]
        for match in re.finditer(r"^module (\w+)(\(.*?)^endmodule", text, re.DOTALL | re.MULTILINE)
    }


def instances(body):
    """Module of each instance by the instance's name."""
    return {match[2]: match[1] for match in re.finditer(r"^  (\w+) (\w+) \(\n", body, re.MULTILINE)}


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS)
def design(request):
    return request.param, to_verilog(Accelerator(request.param, **IMAGES))


def test_the_same_design_gives_the_same_text_and_another_one_does_not():
    config = ArrayConfig(2, 2, program_depth=4, weight_depth=2, parameter_depth=2)
    text = to_verilog(Accelerator(config, **IMAGES))
    assert to_verilog(Accelerator(config, **IMAGES)) == text
    for change in ({"weights": [5, 7]}, {"checksum": 1}, {"program": [1, 2, 1]}, {"parameters": [3]}):
        assert to_verilog(Accelerator(config, **IMAGES | change)) != text


class Constant(Component):
    """Parts of a signal that nothing ever changes: a register, and a constant."""

    change: In(1)
    parts: Out(6)

    def elaborate(self, platform):
        m = Module()
        kept = Signal(2, init=2)
        m.d.sync += kept.eq(kept | 2)
        m.d.comb += [self.parts[:2].eq(kept), self.parts[4:].eq(1)]
        with m.If(self.change):
            m.d.comb += self.parts[2:4].eq(3)
        return m


@pytest.mark.parametrize("standard", ["-g2005", "-g2012"])
def test_parts_that_nothing_changes_have_their_values_from_the_beginning(standard, tmp_path):
    """Where initial values come before all else, as in SystemVerilog, no event follows them."""
    bench = """
        module bench;
          wire [5:0] parts;
          hwquant constant(.clk(1'b0), .rst(1'b0), .change(1'b0), .parts(parts));
          initial #1 $display("%b", parts);
        endmodule
    """
    (tmp_path / "bench.v").write_text(to_verilog(Constant()) + bench)
    subprocess.run(["iverilog", standard, "-o", "bench", "bench.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "-n", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["010010"]


def test_whatever_is_combinational_runs_once_at_the_beginning(design):
    _config, text = design
    assert len(re.findall(r"always @\*", text)) == text.count("if (_initially_) begin end") > 0
    for body in modules(text).values():
        assert body.count("initial _initially_ <= 0;") == ("(_initially_)" in body)


def test_another_process_gives_the_same_text(design, tmp_path):
    """With other hash seeds, another working directory, and other modules made before it."""
    config, text = design
    script = (
        "import sys\n"
        "from hwquant.program.config import ArrayConfig\n"
        "from hwquant.rtl_templates.core import Accelerator\n"
        "from hwquant.rtl_templates.verilog import to_verilog\n"
        "to_verilog(Accelerator(ArrayConfig(2, 2)))\n"
        f"sys.stdout.write(to_verilog(Accelerator(ArrayConfig(**{config.to_json()!r}), **{IMAGES!r})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "1"},
    )
    assert done.stdout == text


def test_the_verilog_does_not_say_where_and_with_what_it_was_made(design):
    _, text = design
    for word in (
        "$auto",
        "yosys",
        "amaranth",
        "generated by",
        ".py",
        "/usr",
        os.path.expanduser("~"),
        os.getcwd(),
    ):
        assert word.lower() not in text.lower(), word
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text), "a date"
    assert text.startswith("module ")
    assert text.isascii()


def test_every_module_is_there_once_and_is_used(design):
    config, text = design
    bodies = modules(text)
    assert len(bodies) == text.count("\nendmodule")
    top = "hwquant"
    uses = Counter()
    for body in bodies.values():
        uses.update(instances(body).values())
    assert set(uses) == set(bodies) - {top}
    assert uses["hwquant__accumulator"] == uses["hwquant__requantize"] == config.columns
    repeated = [body for body, count in Counter(bodies.values()).items() if count > 1]
    assert not repeated


def test_names_keep_the_hierarchy(design):
    config, text = design
    bodies = modules(text)
    inside = instances(bodies["hwquant"])
    assert set(inside) == HIERARCHY
    # Where only one instance of a kind exists, its module is called after it.
    assert all(module == f"hwquant__{name}" for name, module in inside.items())
    rows = config.rows + (config.offset == "sum" and config.channel_offsets)
    elements = {f"pe_{r}_{c}" for r in range(rows) for c in range(config.columns)}
    assert {"skew_x", "skew_weight", *elements} == set(instances(bodies["hwquant__array"]))
    columns = {f"{name}{c}" for name in ("accumulator", "requantize") for c in range(config.columns)}
    assert {"align", *columns} == set(instances(bodies["hwquant__collector"]))


def test_the_ports_are_those_of_the_component(design):
    _, text = design
    ports = re.findall(r"[\w$\\]+", modules(text)["hwquant"].split(");", 1)[0])
    assert sorted(ports) == sorted(PORTS)


def test_memories_hold_their_images(design):
    """Images are initial values, in the module that has the memory."""
    config, text = design
    bodies = modules(text)
    sequencer = re.findall(r"memory\[\d+\] = \d+'h([0-9a-f]+);", bodies["hwquant__sequencer"])
    assert [int(value, 16) for value in sequencer[:3]] == IMAGES["program"]
    assert len(sequencer) == config.program_depth


class Adder(Component):
    def __init__(self, constant):
        self.constant = constant
        super().__init__({"i": In(8), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.register = Register()
        m.d.sync += self.o.eq(self.i + self.constant)
        return m


class Register(Component):
    i: In(4)
    o: Out(4)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i)
        return m


class Pair(Component):
    """Adders of constants; each has a register inside."""

    def __init__(self, *constants):
        self.constants = constants
        super().__init__({f"o{n}": Out(8) for n in range(len(constants))})

    def elaborate(self, platform):
        m = Module()
        for n, constant in enumerate(self.constants):
            m.submodules[f"add{n}"] = adder = Adder(constant)
            value = Signal(8, name=f"value{n}")
            m.d.sync += value.eq(value + n)
            m.d.comb += [adder.i.eq(value), getattr(self, f"o{n}").eq(adder.o)]
        return m


@pytest.mark.parametrize(
    ("constants", "count"), [((1, 1, 1), 1), ((1, 2, 1), 2), ((1, 2, 3), 3), ((4, 4), 1)]
)
def test_only_equal_modules_are_merged(constants, count):
    text = to_rtlil(Pair(*constants), "pair")
    names = re.findall(r"^module \\(\S+)", text, re.MULTILINE)
    assert len(set(names)) == len(names)
    assert sum(name.startswith("pair__add") for name in names) == count
    assert sum("register" in name for name in names) == 1
    bodies = modules(to_verilog(Pair(*constants), "pair"))
    used = instances(bodies["pair"])
    assert set(used) == {f"add{n}" for n in range(len(constants))}
    for a, b in combinations(range(len(constants)), 2):
        assert (used[f"add{a}"] == used[f"add{b}"]) == (constants[a] == constants[b])


@pytest.mark.parametrize(("zeros", "left"), [(True, 0), (False, 1)])
def test_what_fills_memories_with_zeros_goes_with_its_attributes(zeros, left):
    m = Module()
    m.submodules.memory = memory = Memory(shape=4, depth=4, init=[0 if zeros else 5, 0, 0, 0])
    port = memory.read_port()
    # As Yosys writes it, with where it comes from: last, so that an attribute that stays belongs to nothing.
    text = rtlil.convert(m, ports=[port.addr, port.data])
    text = re.sub(
        r"^  cell \$meminit_v2",
        '  attribute \\\\src "a.py:1"\n  attribute \\\\src "b.py:2"\n\\g<0>',
        text,
        flags=re.M,
    )
    text = re.sub(
        r"((?:^  attribute [^\n]*\n)*^  cell \$meminit_v2.*?^  end\n)(.*?)(^end\n)",
        r"\2\1\3",
        text,
        flags=re.S | re.M,
    )
    shorter = without_zeros(text)
    assert shorter.count("$meminit_v2") == left
    assert shorter.count("b.py:2") == left
    run_yosys(f"read_rtlil <<rtlil\n{shorter}\nrtlil\n")
