"""The AXI wrapper against cocotbext-axi, in Icarus."""

import shutil

import numpy as np
import pytest
from hwquant_testing import axi_simulation
from hwquant_testing.halves import halved
from hwquant_testing.small_networks import Net, images

from hwquant.golden import run as golden
from hwquant.link.protocol import word_bytes
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.program.layout import words_to_integers
from hwquant.program.registers import IDENTITY, VERSION, Register
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_verilog

pytest.importorskip("cocotbext.axi")
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
FRAMES = 4


@pytest.fixture(scope="module", params=[(2, 2), (3, 5)])
def case(request):
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)  # whole words: no lane of the output is without a channel
    network = net.build()
    program = compile_network(network, request.param)
    return program, images(network, FRAMES), golden(network, images(network, FRAMES))


def beats(program, frames):
    """Frames (N, words, lanes) as bytes of AXI streams."""
    bits, size = program.config.activation_bits, word_bytes(program.config.word_bits)
    return [
        list(b"".join(word.to_bytes(size, "little") for word in words_to_integers(frame, bits)))
        for frame in frames
    ]


@pytest.fixture(scope="module")
def built(case, tmp_path_factory):
    """Folder of the compiled simulation."""
    return build(case[0], tmp_path_factory.mktemp("axi"))


def build(program, folder):
    """Compile the simulation of a program behind AXI."""
    verilog = to_verilog(AxiAccelerator(accelerator(program)), "hwquant_axi")
    return axi_simulation.build(verilog, "hwquant_axi", folder)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("pauses", [0.0, 0.4])
@pytest.mark.parametrize("scenario", ["frames_and_registers", "writes"])
def test_axi_masters_and_streams_work_with_the_accelerator(case, built, tmp_path, pauses, scenario):
    program, q, expected = case
    results = np.concatenate([item.to_words(expected[item.name]) for item in program.outputs], axis=1)
    settings = {
        "frames": beats(program, program.frame(q)),
        "results": beats(program, results),
        "registers": {
            int(Register.IDENTITY): IDENTITY,
            int(Register.VERSION): VERSION,
            int(Register.CHECKSUM): program.checksum,
        },
        "pauses": pauses,
    }
    play(built, tmp_path, scenario, settings)


def play(built, tmp_path, scenario, settings):
    """Run one of the scenarios in Icarus."""
    axi_simulation.play(built, "hwquant_axi", tmp_path, "axi_scenarios", scenario, settings)


@pytest.fixture(scope="module", params=[(2, 2, 32, False), (3, 5, 128, False), (3, 5, 16, True)])
def outside(request, tmp_path_factory):
    """A network whose weights and parameters, or outputs too, come from external memory, and its simulation."""
    rows, columns, bits, halves = request.param
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    network = net.build()
    limits = {"weight_depth": 5 * rows, "parameter_depth": 2 * columns}
    if halves:
        program = halved(network, (rows, columns), bits)
    else:
        program = compile_network(network, (rows, columns), external=ExternalMemory(bits), limits=limits)
    q = images(network, FRAMES)
    return program, q, golden(network, q), build(program, tmp_path_factory.mktemp("axi_memory"))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("pauses", [0.0, 0.4])
@pytest.mark.parametrize("fails", [False, True])
def test_weights_come_from_a_memory_behind_axi(outside, tmp_path, pauses, fails):
    program, q, expected, folder = outside
    base, image = 0x3000, program.external_image.tobytes()
    results = np.concatenate([item.to_words(expected[item.name]) for item in program.outputs], axis=1)
    settings = {
        "frames": beats(program, program.frame(q)),
        "results": beats(program, results),
        "image": list(image),
        "base": base,
        "faulty": base + program.config.external_bits // 8 if fails else None,
        "pauses": pauses,
    }
    play(folder, tmp_path, "external_memory", settings)
