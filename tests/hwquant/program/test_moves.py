"""Moves in programs: what tiles need is there, nothing that is needed is overwritten, and the queue is never full."""

import hashlib
from collections import deque

import numpy as np
import pytest

from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import BURST, ExternalMemory, MemoryTiming
from hwquant.program.isa import QUEUE, MoveKind, Opcode
from hwquant.program.sizing import Requirements
from hwquant.program.weight_format import WeightFormat
from hwquant.random_networks import Features, random_qgraph

ARRAYS = ((4, 4), (2, 5), (6, 3), (3, 9), (8, 8))


ANY = Features()


def compilation(seed, bits=32, features=ANY, **limits):
    qgraph = random_qgraph(np.random.default_rng(seed), features)
    array = ARRAYS[seed % len(ARRAYS)]
    limits = {
        "weight_depth": 7 * array[0],
        "parameter_depth": 4 * array[1],
        "accumulator_depth": 16,
        **limits,
    }
    requirements = Requirements(array, external=ExternalMemory(bits), limits=limits)
    return Compilation(qgraph, lowered_network(qgraph), requirements)


def reads(code, config):
    """For each tile, written out: its instruction's number, words, and whether it begins a pass or a block."""
    repeat, form = 0, WeightFormat()
    for number, item in enumerate(code):
        if item.opcode is Opcode.REPEAT:
            repeat = item.values["count"]
        elif item.opcode is Opcode.FORMAT:
            form = WeightFormat.of(1 << item.values["packing"], config)
        elif item.opcode is Opcode.TILE:
            for k in range(repeat + 1):
                words = 0 if item.values.get("product") else form.words(config)
                first = {name: item.values[name] and not k for name in ("first", "parameters", "offsets")}
                yield number, words + (first["offsets"] if words else 0), first
            repeat = 0


def wanted(compilation):
    """The words that hardware without external memory reads, tile by tile, and the parameters' numbers."""
    weights, pointer, mark, parameters = compilation.images.weights, 0, 0, 0
    for _, words, first in reads(compilation._inside, compilation.shape):
        if words and first["first"]:
            if first["parameters"]:
                mark = pointer
            pointer = mark
        block = range(parameters, parameters + compilation.shape.columns) if first["parameters"] else ()
        parameters += len(block)
        yield weights[pointer : pointer + words].tolist(), list(block)
        pointer += words


class Inside:
    """The memories as moves leave them, at the latest and at the earliest."""

    def __init__(self, program):
        self.config, self.program = program.config, program
        self.first_parameter = -(-len(program.weights) * self.beats(MoveKind.WEIGHTS) // BURST) * BURST
        self.memories = {
            MoveKind.WEIGHTS: [None] * self.config.weight_depth,
            MoveKind.PARAMETERS: [None] * self.config.parameter_depth,
        }
        self.pending = deque()  # moves that may not be complete

    def beats(self, kind):
        widths = (self.config.columns * self.config.slot_bits, self.config.parameter_bits)
        return self.config.word_beats(widths[kind])

    def queue(self, external, values):
        kind = MoveKind(values["kind"])
        memory, beats = self.memories[kind], self.beats(kind)
        start = external - (self.first_parameter if kind is MoveKind.PARAMETERS else 0)
        assert start % beats == 0
        for k in range(values["count"]):
            memory[(values["address"] + k) % len(memory)] = ("moving", len(self.pending))
        places = [(values["address"] + k) % len(memory) for k in range(values["count"])]
        assert kind is MoveKind.PARAMETERS or values["address"] + values["count"] <= len(memory)
        self.pending.append((memory, places, start // beats, kind))

    def wait(self, moves):
        while len(self.pending) > moves:
            memory, places, start, kind = self.pending.popleft()
            for k, place in enumerate(places):
                word = start + k
                memory[place] = self.program.weights[word].tolist() if kind is MoveKind.WEIGHTS else word


@pytest.mark.parametrize("seed", range(12))
def test_every_tile_finds_its_weights_and_parameters_complete(seed):
    made = compilation(seed, (16, 32, 64)[seed % 3])
    program = made.program
    inside, external, pointer, reader, repeat = Inside(program), 0, None, 0, 0
    expected = wanted(made)
    tiles = reads(program.instructions, program.config)
    for item in program.instructions:
        values = item.values
        if item.opcode is Opcode.EXTERNAL:
            external = values["address"]
        elif item.opcode is Opcode.MOVE:
            inside.queue(external, values)
        elif item.opcode is Opcode.WAIT:
            assert values["moves"] < QUEUE
            inside.wait(values["moves"])
        elif item.opcode is Opcode.INPUT:
            assert not inside.pending
        elif item.opcode is Opcode.WEIGHTS:
            pointer = values["address"]
        elif item.opcode is Opcode.REPEAT:
            repeat = values["count"]
        elif item.opcode is Opcode.TILE:
            for _ in range(repeat + 1):
                weights, parameters = next(expected)
                _, words, _ = next(tiles)
                assert words == len(weights)
                if words:
                    assert inside.memories[MoveKind.WEIGHTS][pointer : pointer + words] == weights
                    pointer += words
                ring = inside.memories[MoveKind.PARAMETERS]
                assert [ring[(reader + k) % len(ring)] for k in range(len(parameters))] == parameters
                reader += len(parameters)
            repeat = 0
    assert next(expected, None) is None


def test_what_fits_is_moved_once_before_the_input():
    program = compilation(2, weight_depth=4000, parameter_depth=256).program
    opcodes = [item.opcode for item in program.instructions]
    assert opcodes[:4] == [Opcode.EXTERNAL, Opcode.MOVE] * 2
    assert opcodes.count(Opcode.MOVE) == 2
    assert opcodes.count(Opcode.WAIT) == opcodes.count(Opcode.INPUT)
    assert timing(program, MemoryTiming(latency=99)).stalled == 0
    assert program.config.weight_depth == len(program.weights), "no deeper than all weights"


def test_weights_of_a_pass_stay_for_its_pixel_blocks():
    """One layer of a pass that fits, many pixel blocks: every word is moved once."""
    features = Features(
        layers=(1, 1), channels=(4, 4), size=(10, 10), fully_connected=False, residual=False, concat=False
    )
    made = compilation(0, features=features, weight_depth=60, accumulator_depth=8)
    moves = [item.values for item in made.program.instructions if item.opcode is Opcode.MOVE]
    assert max(len(item.pixel_blocks) for item in made.schedule) > 2
    moved = sum(values["count"] for values in moves if values["kind"] == MoveKind.WEIGHTS)
    assert moved == len(made.program.weights)


def test_equal_passes_are_stored_once():
    made = compilation(2)
    weights = made.images.weights
    doubled = type(made.images)(**{**vars(made.images), "weights": np.zeros_like(weights)})
    object.__setattr__(made, "images", doubled)
    lengths = {len(words) for words, _ in wanted(made)}
    assert lengths
    assert len(made.moved.weights) < len(weights)
    assert not made.moved.weights.any()


def test_the_same_network_gives_the_same_program():
    digests = {
        hashlib.sha256(repr((made.words, made.external_image.tobytes())).encode()).hexdigest()
        for made in (compilation(3).program for _ in range(2))
    }
    assert len(digests) == 1


@pytest.mark.parametrize("bits", [16, 128])
def test_the_image_outside_is_weights_then_parameters_in_whole_words(bits):
    program = compilation(4, bits).program
    config, beats = program.config, [int.from_bytes(row, "little") for row in program.external_image]
    for kind, words, start in (
        (config.columns * config.slot_bits, program.weight_image, 0),
        (
            config.parameter_bits,
            program.parameter_image,
            -(-len(program.weights) * config.word_beats(config.columns * config.slot_bits) // BURST) * BURST,
        ),
    ):
        each = config.word_beats(kind)
        for number, word in enumerate(words):
            place = start + number * each
            joined = sum(beat << k * bits for k, beat in enumerate(beats[place : place + each]))
            assert joined == word


def test_without_external_memory_nothing_changes():
    qgraph = random_qgraph(np.random.default_rng(5))
    program = compile_network(qgraph, (4, 4), pack_input="none")
    assert program.external_image.size == 0
    assert not {item.opcode for item in program.instructions} & {Opcode.MOVE, Opcode.WAIT, Opcode.WEIGHTS}
