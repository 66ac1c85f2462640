"""The C driver for AXI DMA that goes with a core, on the host, against the simulated core behind a model of the DMA."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from hwquant_testing import axi_simulation
from hwquant_testing.small_networks import Net, images

from hwquant.golden import run as golden
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.rtl_templates.ip_core import IP, core_files
from hwquant.rtl_templates.vivado_core import dma_bytes

pytest.importorskip("cocotbext.axi")
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffreestanding"]
OK, NOT_FOUND, OTHER_PROGRAM, TIMEOUT, STOPPED, DROPPED, DMA_ERROR = range(7)
GLUE = """\
#include "net_network.h"

static uint32_t (*read_register)(uintptr_t);
static void (*write_register)(uintptr_t, uint32_t);
void set_bus(uint32_t (*read)(uintptr_t), void (*write)(uintptr_t, uint32_t)) {
    read_register = read;
    write_register = write;
}
uint32_t hwquant_read(uintptr_t address) { return read_register(address); }
void hwquant_write(uintptr_t address, uint32_t value) { write_register(address, value); }
static struct hwquant_network copy;
struct hwquant_network *network(void) {
    copy = net_network;
    return &copy;
}
"""
ORDER = """\
#include <stdio.h>

#include "hwquant_dma.h"

static uint8_t data[20];
uint32_t hwquant_read(uintptr_t address) {
    printf("read %u\\n", (unsigned)address);
    return address >= 4096 ? 2 : 0;
}
void hwquant_write(uintptr_t address, uint32_t value) {
    (void)value;
    printf("write %u\\n", (unsigned)address);
}
void hwquant_flush(const uint8_t *from, size_t bytes) {
    printf("flush %d %u\\n", (int)(from - data), (unsigned)bytes);
}
void hwquant_invalidate(uint8_t *from, size_t bytes) {
    printf("invalidate %d %u\\n", (int)(from - data), (unsigned)bytes);
}
void hwquant_barrier(void) { puts("barrier"); }
int main(void) {
    static const struct hwquant_network network = {.beats = 3, .beat_bytes = 2, .words = 3, .word_bytes = 4};
    const struct hwquant_dma core = {.registers = 0, .dma = 4096, .network = &network, .patience = 1};
    int status = hwquant_dma_infer(&core, data, data + 8);
    puts("memory");
    hwquant_dma_memory(&core, 0);
    return status;
}
"""


@pytest.fixture(scope="module", params=[(2, 3), (5, 5)])
def case(request, tmp_path_factory):
    """Network, program, and the folder of the driver as a library and of the simulation."""
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    network = net.build()
    program = compile_network(network, request.param)
    folder = tmp_path_factory.mktemp("dma")
    files = core_files(program, "axi", "net") | {"glue.c": GLUE}
    for name, text in files.items():
        (folder / name).write_text(text)
    options = [*STRICT, "-DHWQUANT_BUS", "-O1", "-shared", "-fPIC"]
    subprocess.run(["gcc", *options, "hwquant_dma.c", "glue.c", "-o", "driver.so"], cwd=folder, check=True)
    return network, program, axi_simulation.build(files["net.v"], "net", folder)


def drive(case, folder, count=3, pauses=0.0, wait=1000, **changes):
    """Send frames through the driver; gives the integers that were sent, and what it says."""
    network, program, built = case
    q = images(network, count)
    size, bits = dma_bytes(program.config.frame_bits), program.config.activation_bits
    frames = [
        b"".join(word.to_bytes(size, "little") for word in words_to_integers(frame, bits))
        for frame in program.frame(q)
    ]
    shutil.copy(built / "driver.so", folder)
    settings = {
        "folder": str(folder),
        "frames": [list(frame) for frame in frames],
        "pauses": pauses,
        "wait": wait,
        "changes": changes,
    }
    axi_simulation.play(built, "net", folder, "dma_scenarios", "c_driver", settings)
    return q, json.loads((folder / "said.json").read_text())


@pytest.mark.parametrize("pauses", [0.0, 0.4])
def test_results_and_cycles_are_right(case, tmp_path, pauses):
    network, program, _ = case
    q, said = drive(case, tmp_path, pauses=pauses)
    config, expected = program.config, golden(network, q)
    size = dma_bytes(config.word_bits)
    assert said["open"] == OK
    assert len(said["infer"]) == 3
    for sample, (status, cycles, result) in enumerate(said["infer"]):
        assert (status, cycles) == (OK, timing(program).cycles)
        raw = bytes(result)
        words = [int.from_bytes(raw[start : start + size], "little") for start in range(0, len(raw), size)]
        found = program.results(integers_to_words(words, config.lanes, config.activation_bits)[None])
        for name, values in found.items():
            np.testing.assert_array_equal(values[0], expected[name][sample])


@pytest.mark.parametrize(
    ("changes", "status"), [({"checksum": 1}, OTHER_PROGRAM), ({"identity": 1}, NOT_FOUND)]
)
def test_another_core_is_refused(case, tmp_path, changes, status):
    assert drive(case, tmp_path, **changes)[1] == {"open": status, "infer": []}


@pytest.mark.parametrize(("changes", "status"), [({"beats": -1}, DROPPED), ({"words": -1}, DMA_ERROR)])
def test_a_transfer_of_the_wrong_size_is_reported(case, tmp_path, changes, status):
    said = drive(case, tmp_path, wait=100, **changes)[1]
    assert [entry[0] for entry in said["infer"]] == [status]


def test_patience_ends(case, tmp_path):
    said = drive(case, tmp_path, wait=1)[1]
    assert [entry[0] for entry in said["infer"]] == [TIMEOUT]


def test_the_driver_compiles_without_a_library_for_a_bus_in_memory(tmp_path):
    command = ["gcc", *STRICT, "-nostdlib", "-c", str(IP / "hwquant_dma.c"), "-o", str(tmp_path / "driver.o")]
    subprocess.run(command, check=True)
    symbols = subprocess.run(["nm", "-u", tmp_path / "driver.o"], capture_output=True, text=True, check=True)
    assert set(re.findall(r"U (\w+)", symbols.stdout)) <= {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


@pytest.mark.parametrize("hook", ["CACHE", "BARRIER"])
def test_hooks_are_for_the_program_to_supply(tmp_path, hook):
    source, compiled = str(IP / "hwquant_dma.c"), str(tmp_path / "driver.o")
    subprocess.run(["gcc", *STRICT, f"-DHWQUANT_{hook}", "-c", source, "-o", compiled], check=True)
    symbols = subprocess.run(["nm", "-u", compiled], capture_output=True, text=True, check=True)
    names = {"CACHE": {"hwquant_flush", "hwquant_invalidate"}, "BARRIER": {"hwquant_barrier"}}
    assert set(re.findall(r"U (hwquant\w+)", symbols.stdout)) == names[hook]


def test_memory_and_registers_are_accessed_in_order(tmp_path):
    """Caches are written back before a barrier, and that is before lengths; the result is forgotten after IDLE.

    Registers of the core are at 0, the DMA's at 4096; every channel is idle.
    """
    (tmp_path / "order.c").write_text(ORDER)
    hooks = [f"-DHWQUANT_{hook}" for hook in ("BUS", "CACHE", "BARRIER")]
    sources = [str(IP / "hwquant_dma.c"), "order.c", "-I", str(IP)]
    subprocess.run(["gcc", *STRICT[:-1], *hooks, *sources, "-o", "order"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "order"], capture_output=True, text=True, check=True)
    before, idle, after = done.stdout.partition("read 4148\n")
    assert idle
    lines = before.splitlines()
    barrier, length = lines.index("barrier"), lines.index("write 4184")
    assert {"flush 0 6", "invalidate 8 12"} == {line for line in lines[:barrier] if line[0] in "fi"}
    assert barrier < length < lines.index("write 4136")
    assert after.splitlines() == ["read 4100", "barrier", "invalidate 8 12", "memory", "barrier", "write 52"]
