"""A build with every kind of pass, and what a board reports."""

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.implement import Implementation
from hwquant.build import write_build
from hwquant.program.compiler import compile_network


@pytest.fixture(scope="session")
def mixed_build(tmp_path_factory):
    """Convolution with a pool, depthwise, residual addition, concatenation, a layer with a tile of zeros."""
    net = Net(seed=3, x=(3, 8, 8))
    first = net.pool(net.conv("x", 8, (3, 3), padding=(1, 1, 1, 1)), (2, 2))
    depthwise = net.conv(first, 8, (3, 3), padding=(1, 1, 1, 1), groups=8)
    added = net.layer(net.term(first, 8), net.term(depthwise, 8, bits=4))
    both = net.concat(added, depthwise)
    codes = np.random.default_rng(1).integers(-128, 128, (4, 16, 4, 4))
    codes[:, :4, 0, 0] = 0
    net.conv(both, 4, (4, 4), codes=codes, name="<b>last&</b>")
    qgraph = net.build(added, "<b>last&</b>")
    program = compile_network(qgraph, (4, 4))
    return write_build(qgraph, program, tmp_path_factory.mktemp("mixed") / "build")


@pytest.fixture(scope="session")
def board_report():
    """As if a board had been built."""
    return Implementation(
        board="ulx3s-25f",
        device="lfe5u-25f",
        clock_mhz=100.0,
        fmax_mhz=104.5,
        used={"lut": 12144, "ff": 3000, "dsp": 0, "ram": 56},
        available={"lut": 24288, "ff": 24288, "dsp": 28, "ram": 56},
        cells={},
        link="uart",
        baud=1_000_000,
        address="",
        cycles=2000,
        core_frames_per_second=50000.0,
        frames_per_second=100.0,
        link_bytes=900,
        link_requests=4,
        link_share=0.998,
        bitstream="top.bit",
        notes=("a note",),
        attempts=1,
        seed=1,
        seconds=60.0,
        versions={"pyosys": "0.50"},
    )
