"""Which accelerators the resource model is fitted to, and measured on: seeded draws of arrays and programs.

Free configurations with random memory contents, and programs compiled from random networks, the demo, mnist-conv and
MLPerf Tiny's ResNet8 and DS-CNN; some behind their UART; one array or several; and ResNet8 on large arrays as a board
gets it. Which of them are held out is fixed beforehand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.lib.wiring import Component

from hwquant.boards.board import load_board
from hwquant.boards.contents import DIVISOR
from hwquant.boards.device import DEVICES
from hwquant.boards.families.family import Device
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.top import BoardTop
from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.array_shape import TAP_COLUMNS
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode, disassemble, program_bits
from hwquant.program.program import Program
from hwquant.program.sides import Array, array_name, short_array
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from hwquant.random_networks import Features, random_qgraph

SEED = 20261
TARGETS = {
    "ecp5": ("ecp5-85k", "ecp5-25k"),
    "gowin": ("gw1n-9", "gw2a-18"),
    "ice40": ("ice40-up5k",),
    "xilinx7": ("xc7a35t", "xc7a100t"),
}
"""Devices of each family. A family's place seeds its draws: new ones come last, so that those of others stay."""
SHAPES = (
    *((2, 2), (2, 2), (2, 3), (3, 2), (2, 4), (4, 2), (3, 3), (4, 4), (4, 4), (5, 4), (4, 6), (6, 6), (8, 8)),
)
LARGE = 15
"""The configuration that is larger than those of SHAPES: 16x8, or as much as devices with few LUTs hold."""
LARGE_SHAPES = {"gowin": (8, 8), "ice40": (8, 8)}
ARRAYS = (1, 1, 1, 2, 2, 4)
"""Numbers of arrays, of those of at most :data:`MOST_OF_SEVERAL` products."""
MOST_OF_SEVERAL = 16
HELD_OUT = 3
"""The model is fitted to two of so many configurations of a family, and measured on the third."""
BOARD = "ulx3s-85f"
LARGE_ARRAYS: tuple[tuple[Array, bool], ...] = (((16, 16), False), ((2, 16, 16), False), ((16, 32), True))
"""Arrays of ResNet8 on that board, and whether they are held out."""


@dataclass(frozen=True)
class Case:
    """A configuration and what to synthesize for it, behind its UART where ``board`` does not name one for it."""

    name: str
    device: str
    link: bool
    held_out: bool
    config: ArrayConfig
    make: Callable[[], Accelerator]
    board: str = ""

    def top(self, made: Accelerator) -> Component:
        """What is synthesized."""
        if self.board:
            board = load_board(self.board)
            return BoardTop(board, made, board.target_mhz * 1e6, tunable=True)
        return SerialAccelerator(made, DIVISOR, DEVICES[self.device].family.window) if self.link else made


def large_case(index: int) -> Case:
    """ResNet8 on one of :data:`LARGE_ARRAYS`."""
    from core_resources import network as published

    array, held_out = LARGE_ARRAYS[index]
    device = load_board(BOARD).device
    assert device is not None
    program = compile_network(published("resnet8"), array)
    make = partial(accelerator, program, loadable=weights_in_large_ram(program.config, device))
    name = f"{device.family.name}/resnet8 on {array_name(array)}"
    return Case(name, device.name, True, held_out, program.config, make, BOARD)


def case_of(family: str, index: int) -> Case:
    """The ``index``-th configuration of a family."""
    rng = np.random.default_rng([SEED, list(TARGETS).index(family), index])
    device = str(rng.choice(TARGETS[family]))
    link = index % 4 == 1
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    if index == LARGE:
        shape = LARGE_SHAPES.get(family, (16, 8))
    kind = index % 5
    while True:
        try:
            several = int(rng.choice(ARRAYS)) if shape[0] * shape[1] <= MOST_OF_SEVERAL else 1
            if kind in (0, 2):
                name, (config, make) = "free", free(rng, several, shape, DEVICES[device])
            else:
                name, program = compiled(rng, short_array(several, *shape), real=kind == 4)
                config = program.config
                make = partial(accelerator, program, loadable=weights_in_large_ram(config, DEVICES[device]))
        except (DoesNotFit, Unsupported):  # this network is not for this array: draw another one
            continue
        held_out = index % HELD_OUT == HELD_OUT - 1
        return Case(f"{family}/{index}: {name}", device, link, held_out, config, make)


def free(
    rng: np.random.Generator, arrays: int, shape: tuple[int, int], device: Device
) -> tuple[ArrayConfig, Callable[[], Accelerator]]:
    """Any configuration, with random words in its memories."""

    def chance(share: float) -> bool:
        return bool(rng.random() < share)

    def between(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    def choice(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    rows, columns = shape
    weight_bits = choice(2, 3, 4, 4, 5, 6, 7, 8, 8, 8)
    activation_bits = choice(2, 3, 4, 4, 5, 6, 7, 8, 8, 8)
    offset = choice("edge", "edge", "edge", "sum", "none")
    offset_bits = between(2, weight_bits + 1)
    packing = choice(1, 1, 1, 2, 4) if weight_bits >= 4 else 1
    channel_offsets = offset != "none" and chance(0.3)
    load_rows = choice(*(n for n in (1, 2, 4) if n <= min(packing, rows)))
    taps = arrays == 1 and offset != "sum" and columns <= rows and chance(0.3)
    multiplier = chance(0.3)
    config = ArrayConfig(
        rows=rows,
        columns=columns,
        activation_bits=activation_bits,
        weight_bits=weight_bits,
        weight_packing=packing,
        load_rows=1 if offset == "sum" and channel_offsets else load_rows,
        adjusted_bits=weight_bits + 1,
        offset=offset,
        offset_bits=offset_bits,
        channel_offsets=channel_offsets,
        accumulator_bits=between(activation_bits + weight_bits + 4, 32),
        accumulator_depth=choice(16, 32, 64, 128, 256, 512, 512, 1024),
        multiplier_bits=between(8, 16) if multiplier else 0,
        shift_bits=between(4, 6) if multiplier else between(3, 5),
        coordinate_bits=between(4, 9),
        block_steps=choice(64, 256, 512, 1024, 4096),
        window_sums=chance(0.3),
        tap_lines=min(rows // TAP_COLUMNS, choice(1, 3)) if taps else 0,
        tap_depth=choice(8, 16, 32, 64),
        activation_depth=choice(64, 256, 512, 1024, 2048, 4096, 6000),
        weight_depth=choice(64, 256, 512, 1024, 2048, 3000, 4096),
        parameter_depth=choice(32, 64, 128, 256, 512),
        program_depth=choice(64, 128, 256, 512, 1024),
        arrays=arrays,
        strip_bits=between(2, 5) if arrays > 1 else 0,
    )
    seed = int(rng.integers(1 << 32))

    def make() -> Accelerator:
        words = np.random.default_rng(seed)

        def image(depth: int, bits: int) -> list[int]:
            return [int.from_bytes(words.bytes(-(-bits // 8)), "little") % (1 << bits) for _ in range(depth)]

        return Accelerator(
            config,
            program=image(config.program_depth, program_bits(config)),
            weights=image(config.weight_depth, config.columns * config.slot_bits),
            parameters=image(config.parameter_depth, config.parameter_bits),
            checksum=int(words.integers(1 << 32)),
            loadable=weights_in_large_ram(config, device),
        )

    return config, make


def compiled(rng: np.random.Generator, shape: Array, real: bool) -> tuple[str, Program]:
    """A program, and the name of its network."""
    offset = "sum" if rng.random() < 0.2 else "auto"
    if real:
        name = str(rng.choice(["demo", "mnist-conv", "resnet8", "ds-cnn"]))
        bits = int(rng.choice([2, 3, 4, 6, 8, 8]))
        qgraph = network(
            name, bits, int(rng.choice([bits, 8])), bool(rng.random() < 0.3), bool(rng.random() < 0.3)
        )
        return f"{name}, {bits} bits", compile_network(qgraph, shape, offset=offset)
    most = int(rng.choice([4, 8, 8]))
    features = Features(
        activation_bits=(most - 2, most),
        weight_bits=(2, int(rng.choice([4, 8]))),
        channels=(1, 24),
        size=(4, 20),
        multiplier=bool(rng.random() < 0.3),
        per_channel=bool(rng.random() < 0.3),
        depthwise=bool(rng.random() < 0.5),
        concat=bool(rng.random() < 0.5),
    )
    while True:
        program = compile_network(random_qgraph(rng, features), shape, offset=offset)
        if complete(program):
            return "random network", program


def complete(program: Program) -> bool:
    """Whether sums of several tiles are added up, and multipliers differ, if there are any.

    In hardware for a network in which they do not, synthesis finds no need of accumulators or multipliers.
    """
    tiles = [
        item.values["first"]
        for item in disassemble(list(program.words), program.config)
        if item.opcode is Opcode.TILE
    ]
    multipliers = set(program.multiplier.tolist())
    return 0 in tiles and (len(multipliers) > 1 or not program.config.multiplier_bits)


@lru_cache
def network(name: str, bits: int, activation_bits: int, per_channel: bool, multiplier: bool) -> QGraph:
    """A real network, quantized. Few images, as their values hardly matter to the hardware."""
    from datasets import data_folder, mnist
    from mlperf_networks import data, model

    from hwquant import demo
    from hwquant.data import load_samples
    from hwquant.frontends import from_onnx, load_model

    if name == "demo":
        graph = load_model(demo.MODEL)
        x = load_samples(demo.CALIBRATION, graph.inputs).x
    elif name == "mnist-conv":
        graph = load_model(data_folder() / "mnist_conv" / "model.onnx")
        x = mnist("train")[0][:64].astype(np.float32) / 255
    else:
        key = {"resnet8": "ic", "ds-cnn": "kws"}[name]
        graph, x = from_onnx(model(key)), data(key).reference
    return quantize(
        graph,
        x[:64],
        bits=bits,
        activation_bits=activation_bits,
        per_channel=per_channel,
        scales="multiplier" if multiplier else "shift",
    )
