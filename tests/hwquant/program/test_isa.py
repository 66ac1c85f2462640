"""Instructions and words, for every opcode of any configuration."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import (
    Instruction,
    Opcode,
    decode,
    disassemble,
    encode,
    fields,
    opcode_bits,
    program_bits,
)


@st.composite
def configs(draw):
    rows, columns = draw(st.integers(2, 32)), draw(st.integers(2, 32))
    lines = draw(st.integers(0, rows // 3)) if rows >= columns else 0
    port = {"external_bits": 64, "external_address_bits": draw(st.integers(7, 32))}
    return ArrayConfig(
        rows,
        columns,
        **(port if draw(st.booleans()) else {}),
        activation_bits=draw(st.integers(2, 8)),
        offset_bits=draw(st.integers(1, 18)),
        coordinate_bits=draw(st.integers(2, 16)),
        accumulator_depth=draw(st.integers(1, 1 << 16)),
        block_steps=draw(st.integers(1, 1 << 24)),
        weight_packing=draw(st.sampled_from([1, 2, 4, 8])),
        window_sums=draw(st.booleans()),
        tap_lines=lines,
        product_bits=draw(st.integers(2, 8) | st.just(0)),
        activation_depth=draw(st.integers(2, 1 << 24)),
    )


def bounds(field):
    half = 1 << (field.width - 1)
    return (-half, half - 1) if field.signed else (0, 2 * half - 1)


@st.composite
def instructions(draw):
    config = draw(configs())
    opcode = draw(st.sampled_from(list(fields(config))))
    extremes = lambda field: st.sampled_from(bounds(field)) | st.integers(*bounds(field))  # noqa: E731
    values = {field.name: draw(extremes(field)) for field in fields(config)[opcode]}
    return config, Instruction(opcode, values)


@settings(deadline=None, max_examples=300)
@given(instructions())
def test_decoding_gives_back_what_was_encoded(drawn):
    config, instruction = drawn
    word = encode(instruction, fields(config))
    assert 0 <= word < 1 << program_bits(config)
    assert word & ((1 << opcode_bits(config)) - 1) == instruction.opcode
    assert decode(word, fields(config)) == instruction


@settings(deadline=None, max_examples=300)
@given(instructions(), st.data())
def test_a_value_outside_its_field_is_refused_by_name(drawn, data):
    config, instruction = drawn
    formats = fields(config)
    candidates = [field for field in formats[instruction.opcode] if not field.wraps]
    assume(candidates)
    field = data.draw(st.sampled_from(candidates))
    low, high = bounds(field)
    value = data.draw(st.sampled_from([low - 1, high + 1]))
    wrong = Instruction(instruction.opcode, {**instruction.values, field.name: value})
    message = f"{instruction.opcode.name}: {field.name} = {value} does not fit its {field.width} bits"
    with pytest.raises(HwquantError, match=f"^{message}$"):
        encode(wrong, formats)


@settings(deadline=None)
@given(configs(), st.integers(-(1 << 30), 1 << 30))
def test_addresses_and_steps_count_modulo_their_width(config, value):
    formats = fields(config)
    repeat = decode(encode(Instruction(Opcode.REPEAT, {"count": 1, "step": value}), formats), formats)
    assert repeat.values["step"] == value % (1 << config.activation_address_bits)


@pytest.mark.parametrize("code", sorted(set(range(16)) - set(fields(ArrayConfig(4, 4)))))
def test_an_opcode_that_the_accelerator_lacks_is_refused(code):
    with pytest.raises(HwquantError, match=rf"program word 0x[0-9a-f]+ has the unknown opcode {code}"):
        decode(0x50 | code, fields(ArrayConfig(4, 4)))


def test_a_program_is_disassembled_word_by_word():
    config = ArrayConfig(4, 4)
    program = [
        Instruction(Opcode.COUNT, {"count": 12}),
        Instruction(Opcode.OFFSET, {"offset": -3}),
        Instruction(Opcode.END, {}),
    ]
    words = [encode(item, fields(config)) for item in program]
    assert list(disassemble(words, config)) == program


def test_instructions_read_as_a_line_with_the_flags_that_are_set():
    values = {"address": 5, "part": 0, "y": -1, "x": 0}
    flags = dict.fromkeys(("first", "last", "parameters", "offsets", "source", "layer"), 0) | {"first": 1}
    assert str(Instruction(Opcode.TILE, values | flags)) == "TILE address=5 part=0 y=-1 x=0 first"
    assert str(Instruction(Opcode.CLAMP, {"low": -1, "high": 1, "zero": 0})) == "CLAMP low=-1 high=1 zero=0"
