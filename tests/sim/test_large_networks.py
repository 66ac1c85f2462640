"""Large networks in hardware with a small chip's memories: every layer's integers, in as many cycles as predicted."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hwquant_testing.large_networks import mobilenetv2, part_of_resnet18, resnet18
from hwquant_testing.seeds import seed_ranges
from hwquant_testing.small_networks import images

from hwquant.errors import DoesNotFit
from hwquant.frontends import load_model
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.isa import MoveKind, Opcode
from hwquant.quantize import quantize
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim.check import verify

SHARED = Path(__file__).resolve().parents[3] / "shared"
DATA = Path(os.environ.get("HWQUANT_DATA", SHARED / "data"))
ZOO = Path(os.environ.get("HWQUANT_ZOO", SHARED / "zoo"))

LIMITS = {"activation_depth": 12288, "weight_depth": 4096, "parameter_depth": 1024}
"""Twice 96 KiB of activations and 64 KiB of weights, in words of 16 bytes."""
SDRAM = MemoryTiming(gap=8)
"""16 bits at a chip's clock, with what goes between bursts."""

PUBLISHED = {
    "ultraface": "ultraface_RFB320_simplified.onnx",
    "yunet": "yunet_n_320.onnx",
    "squeezenet": "light_squeezenet.onnx",
}
PARTS = {
    **{name: lambda name=name: part_of_resnet18(name) for name in ("first", "middle", "last")},
    "resnet18": lambda: resnet18(56),
    "mobilenetv2": lambda: mobilenetv2(96),
}


def kinds(program):
    return {item.values["kind"] for item in program.instructions if item.opcode is Opcode.MOVE}


def assert_right(qgraph, array=(16, 16), limits=LIMITS, bits=16, **options):
    program = compile_network(qgraph, array, limits=limits, external=ExternalMemory(bits, timing=SDRAM))
    assert kinds(program) >= {MoveKind.WEIGHTS, MoveKind.PARAMETERS}
    found = verify(program, qgraph, images(qgraph, 1), simulator="cxxrtl", watch=1, memory=SDRAM, **options)
    assert found.first is None
    if not options:
        assert found.cycles == timing(program, SDRAM).cycles
    return program


@pytest.mark.nightly
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_give_every_layer_in_the_predicted_cycles(name):
    path = ZOO / PUBLISHED[name]
    if not path.exists():
        pytest.skip(f"needs {path} (HWQUANT_ZOO)")
    graph, rng = load_model(path), np.random.default_rng(0)
    samples = {item.name: rng.normal(size=(4, *item.shape)).astype(np.float32) for item in graph.inputs}
    program = assert_right(quantize(graph, samples))
    assert kinds(program) == set(MoveKind)


@pytest.mark.nightly
@pytest.mark.parametrize("name", PARTS)
def test_resnet18_and_mobilenetv2_give_every_layer_in_the_predicted_cycles(name):
    assert_right(PARTS[name]())


@pytest.mark.nightly
@pytest.mark.parametrize("pauses", [20, 120])
@pytest.mark.parametrize("name", ["mnist_conv", "resnet8"])
def test_trained_networks_go_through_small_memories_beside_a_port_that_pauses(name, pauses):
    path = DATA / {"mnist_conv": "mnist_conv/model.onnx", "resnet8": "mlperf_tiny/ic_int8.tflite"}[name]
    if not path.exists():
        pytest.skip(f"needs {path} (HWQUANT_DATA)")
    graph, rng = load_model(path), np.random.default_rng(1)
    shape = graph.inputs[0].shape
    qgraph = quantize(graph, rng.integers(0, 256, (16, *shape)).astype(np.float32))
    limits = {
        "activation_depth": 512,
        "weight_depth": 128,
        "parameter_depth": 32,
        "program_depth": 64,
    }
    program = assert_right(qgraph, (8, 8), limits, 32, memory_pauses=pauses)
    assert kinds(program) == set(MoveKind)


FEATURES = Features(
    layers=(1, 3), size=(5, 10), channels=(1, 7), products=True, copies=True, pool_chains=True
)
ARRAYS = ((2, 2), (4, 4), (2, 5), (6, 3))


def small_memories(seed):
    """A random network, an array, and a program for memories that are hardly large enough, or a little larger."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, replace(FEATURES, outputs=1 + seed % 2, inputs=1 + seed % 3 // 2))
    array = ARRAYS[seed % len(ARRAYS)]
    limits = {
        "activation_depth": int(rng.integers(8, 120)),
        "weight_depth": int(rng.integers(array[0] + 1, 12 * array[0])),
        "parameter_depth": 8 * array[1],
        "accumulator_depth": 16,
    }
    refresh = (int(rng.integers(150, 900)), int(rng.integers(1, 60))) if rng.random() < 0.5 else ()
    memory = MemoryTiming(
        int(rng.integers(1, 60)), int(rng.integers(0, 9)), int(rng.integers(1, 9)), *refresh
    )
    external = ExternalMemory(int(rng.choice([16, 32, 64, 128])), timing=memory)
    while True:
        try:
            program = compile_network(qgraph, array, limits=limits, external=external)
            return program, qgraph, random_inputs(rng, qgraph, 1), memory
        except DoesNotFit as error:
            limits[error.resource] = max(error.needed, limits[error.resource] * 5 // 4)


@pytest.mark.parametrize("seeds", seed_ranges(1, 501, 20))
def test_random_networks_go_through_memories_that_are_hardly_large_enough(seeds):
    for seed in seeds:
        program, qgraph, inputs, memory = small_memories(seed)
        found = verify(program, qgraph, inputs, simulator="amaranth", watch=1, memory=memory)
        assert found.first is None, f"seed {seed}"
        assert found.cycles == timing(program, memory).cycles, f"seed {seed}"
