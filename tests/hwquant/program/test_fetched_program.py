"""A program that fetches itself: its words are there before they are fetched, and nothing else about it changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.errors import DoesNotFit, HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.config import LEAST_HALF, ArrayConfig
from hwquant.program.external import BURST, ExternalMemory
from hwquant.program.fetched_program import FETCHED, fetch_program
from hwquant.program.isa import QUEUE, Instruction, MoveKind, Opcode, program_bits
from hwquant.program.sizing import PROGRAM, PROGRAM_BUFFER
from hwquant.random_networks import Features, random_qgraph


@st.composite
def programs(draw):
    """Moves with their addresses, waits for some of them, inputs when all are complete, and other instructions."""
    code, queued, known = [], 0, 0
    for kind in draw(st.lists(st.sampled_from("mmwico"), max_size=150)):
        if kind == "m":
            code.append(Instruction(Opcode.EXTERNAL, {"address": len(code)}))
            code.append(Instruction(Opcode.MOVE, {"kind": 0, "address": queued, "count": 1}))
            queued += 1
            known = max(known, queued - QUEUE)
        elif kind in "wi" and queued > known:
            number = draw(st.integers(known, queued - 1)) if kind == "w" else queued - 1
            code.append(Instruction(Opcode.WAIT, {"moves": queued - 1 - number}))
            known = number + 1
        if kind == "i":
            code.append(Instruction(Opcode.INPUT, {"address": 0, "count": 1, "last": 1}))
        if kind in "co":
            code.append(Instruction(Opcode.COUNT, {"count": len(code)}))
    return [*code, Instruction(Opcode.END, {})]


def waited(code):
    """For each instruction: how many moves have been queued before it, and how many are complete for sure behind it."""
    queued = known = 0
    for item in code:
        before = queued
        if item.opcode is Opcode.MOVE:
            queued += 1
            known = max(known, queued - QUEUE)
        elif item.opcode is Opcode.WAIT:
            known = max(known, queued - item.values["moves"])
        yield before, known


@given(programs(), st.sampled_from([8, 16, 32]), st.integers(1, 7))
def test_words_are_there_before_they_are_fetched_and_are_not_overwritten_before_they_are_executed(
    code, half, beats
):
    made = fetch_program(code, half)
    placed = made.placed(beats)
    where = {number: number for number in range(half)}  # by address inside: the word that is there, or comes
    move = dict.fromkeys(range(half), -1)
    external = None
    states = list(waited(placed))
    for number, (item, (queued, _)) in enumerate(zip(placed, states)):
        # Behind it, those up to ``FETCHED`` may have been fetched while it waits.
        assert where[number % (2 * half)] == number
        done = states[number - 1 - FETCHED][1] if number > FETCHED else 0
        assert move[number % (2 * half)] < done or number < half
        if item.opcode is Opcode.EXTERNAL:
            assert external is None
            external = item.values["address"]
        elif item.opcode is Opcode.MOVE:
            values = item.values
            if values["kind"] == MoveKind.PROGRAM:
                first = external // beats
                assert external == first * beats
                assert first + values["count"] == min(first + half, len(placed))
                assert first % (2 * half) == values["address"]
                for k in range(values["count"]):
                    assert where.get(values["address"] + k, -1) < number
                    where[values["address"] + k] = first + k
                    move[values["address"] + k] = queued
            external = None
        elif item.opcode is Opcode.INPUT:
            assert states[number][1] == queued


@given(programs(), st.sampled_from([8, 16, 32]), st.integers(1, 7))
def test_without_its_own_moves_the_program_is_as_it_was(code, half, beats):
    made = fetch_program(code, half)
    placed = made.placed(beats)
    behind = made.beats(beats)
    assert behind % BURST == 0
    assert behind >= max(half, len(placed)) * beats
    own = {number + k for number in made.own for k in (0, 1)}
    numbers, queued = [], 0  # of the moves that were there: number among all
    rest, known = [], []  # but waits: instructions, and how many moves are complete before each
    states = [0, *(complete for _, complete in waited(placed))]
    for number, item in enumerate(placed):
        if item.opcode is Opcode.MOVE:
            numbers += [] if number in own else [queued]
            queued += 1
        if number not in own and item.opcode is not Opcode.WAIT:
            address = item.values.get("address", 0) - behind
            rest.append(
                Instruction(item.opcode, {"address": address}) if item.opcode is Opcode.EXTERNAL else item
            )
            known.append(states[number])
    before = [0, *(complete for _, complete in waited(code))]
    there = [number for number, item in enumerate(code) if item.opcode is not Opcode.WAIT]
    assert rest == [code[number] for number in there]
    for number, complete in zip(there, known):
        assert not before[number] or numbers[before[number] - 1] < complete
    # Each WAIT that was there waits for the same move, or for none where that is complete for sure.
    there_are = iter(awaited(placed))
    for number in awaited(code):
        assert any(found in (numbers[number], None) for found in there_are)


def awaited(code):
    """The number of the move that each WAIT waits for; None where that is complete, as so many have been queued."""
    for item, (queued, _) in zip(code, waited(code)):
        if item.opcode is Opcode.WAIT:
            yield None if item.values["moves"] == QUEUE else queued - 1 - item.values["moves"]


def test_a_program_of_one_half_fetches_nothing():
    code = [Instruction(Opcode.COUNT, {"count": 1})] * 7 + [Instruction(Opcode.END, {})]
    made = fetch_program(code, 8)
    assert (made.code, made.own) == (tuple(code), {})
    assert fetch_program([code[0], *code], 8).own == {0: 8}


def compiled(seed=2, bits=32, **limits):
    qgraph = random_qgraph(np.random.default_rng(seed), Features(layers=(1, 2)))
    limits = {"weight_depth": 24, "parameter_depth": 16, **limits}
    return compile_network(qgraph, (4, 4), external=ExternalMemory(bits), limits=limits), qgraph


def test_a_program_that_fits_stays_inside():
    plain, _ = compiled()
    fits, _ = compiled(program_depth=len(plain.words))
    assert plain.config.program_half == fits.config.program_half == 0
    assert (plain.words, plain.config) == (fits.words, fits.config)
    assert "program_half" not in plain.config.to_json()


@pytest.mark.parametrize(("limit", "depth"), [(16, 16), (40, 32), (129, 128)])
def test_one_that_does_not_comes_through_a_memory_that_does(limit, depth):
    plain, _ = compiled()
    program, qgraph = compiled(program_depth=limit)
    assert len(program.words) > len(plain.words) > limit
    assert (program.config.program_depth, program.config.program_half) == (depth, depth // 2)
    kinds = {item.values["kind"] for item in program.instructions if item.opcode is Opcode.MOVE}
    assert MoveKind.PROGRAM in kinds
    again = compile_network(qgraph, (4, 4), config=program.config, external=ExternalMemory(32))
    assert again.words == program.words
    assert (again.external_image == program.external_image).all()


def test_without_a_limit_only_a_long_program_is_outside(monkeypatch):
    monkeypatch.setattr("hwquant.program.sizing.PROGRAM", 60)
    program, _ = compiled()
    assert PROGRAM_BUFFER < PROGRAM
    assert program.config.program_depth == PROGRAM_BUFFER
    assert len(program.words) < program.config.program_half  # less than what the hardware fetches
    assert not [item for item in program.instructions if item.values.get("kind") == MoveKind.PROGRAM]


@pytest.mark.parametrize("bits", [16, 128])
def test_the_image_outside_begins_with_the_program(bits):
    plain, _ = compiled(4, bits)
    program, _ = compiled(4, bits, program_depth=32)
    config, beats = program.config, [int.from_bytes(row, "little") for row in program.external_image]
    each = config.word_beats(program_bits(config))
    for number, word in enumerate(program.words):
        assert sum(beats[number * each + k] << k * bits for k in range(each)) == word
    behind = -(-len(program.words) * each // BURST) * BURST
    assert (program.external_image[behind:] == plain.external_image).all()
    assert len(beats) <= 1 << config.external_address_bits
    assert program.checksum != plain.checksum


def test_what_is_too_small_is_refused():
    with pytest.raises(DoesNotFit, match=r"program_depth \d+ is needed, 15 is available"):
        compiled(program_depth=15)
    qgraph = random_qgraph(np.random.default_rng(13), Features(channels=(30, 40)))
    memory = ExternalMemory(
        16, compile_network(qgraph, (4, 4), external=ExternalMemory(16)).external_image.size
    )
    compile_network(qgraph, (4, 4), external=memory)
    with pytest.raises(DoesNotFit, match=r"the program, weights, parameters and activations take \d+ bytes"):
        compile_network(qgraph, (4, 4), external=memory, limits={"program_depth": 32})


@pytest.mark.parametrize(
    ("half", "depth", "bits"), [(4, 8, 32), (24, 48, 32), (16, 64, 32), (16, 32, 0), (LEAST_HALF - 1, 14, 32)]
)
def test_halves_that_are_none_are_refused(half, depth, bits):
    port = {"external_bits": bits, "external_address_bits": 9} if bits else {}
    with pytest.raises(HwquantError, match="program_half must be a power of two of at least 8"):
        ArrayConfig(4, 4, program_half=half, program_depth=depth, parameter_depth=16, **port)
