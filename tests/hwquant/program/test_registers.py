"""The table of registers: sound in itself, and its words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.program.registers import REGISTER_BITS, MemoryRegister, Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.wishbone import BusRegister


def test_addresses_follow_each_other():
    assert [int(register) for register in Register] == list(range(len(Register)))


@pytest.mark.parametrize("register", Register)
def test_fields_are_inside_the_register_and_apart(register):
    assert register.fields
    free = 0
    for field in register.fields:
        assert field.low >= free, f"{field.name} covers the field before it"
        assert field.high == field.low + field.width - 1 < REGISTER_BITS
        assert field.mask == sum(1 << bit for bit in range(field.low, field.high + 1))
        free = field.high + 1
    assert len({field.name for field in register.fields}) == len(register.fields)


@pytest.mark.parametrize("register", Register)
@given(data=st.data())
def test_a_word_is_its_fields(register, data):
    values = {field.name: data.draw(st.integers(0, (1 << field.width) - 1)) for field in register.fields}
    word = register.pack(**values)
    assert register.unpack(word) == values
    assert not word & ~sum(field.mask for field in register.fields)


def test_a_field_that_is_not_named_is_zero():
    assert Register.STATUS.pack(dropped=3) == 0x300
    assert Register.CONTROL.pack() == 0
    assert [register for register in Register if register.writable] == [Register.CONTROL]


@pytest.mark.parametrize("value", [-1, 2])
def test_a_value_that_does_not_fit_its_field_is_refused(value):
    with pytest.raises(HwquantError, match=rf"^STATUS: busy = {value} does not fit its 1 bits$"):
        Register.STATUS.pack(busy=value)


def test_a_field_that_the_register_lacks_is_refused():
    with pytest.raises(HwquantError, match="the register SHAPE has no field 'depth'"):
        Register.SHAPE.pack(depth=1)


def test_registers_of_external_memory_are_apart_from_all_others():
    assert not {*map(int, Register)} & {*map(int, MemoryRegister)}
    assert not {*map(int, BusRegister)} & {*map(int, MemoryRegister)}
    assert max(MemoryRegister) < 1 << index_bits(len(Register)), "the bus has no address for it"
    assert MemoryRegister.MEMORY.unpack(0x12345001) == {"error": 1, "page": 0x12345}
