"""Widths inside the array, exact by brute force, and what the constructor refuses."""

import itertools

import pytest

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.sides import parse_array
from hwquant.program.widths import bits_for


def holds(bits, value):
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


@pytest.mark.parametrize(("activation", "weight"), list(itertools.product((2, 3), (1, 2, 3))))
@pytest.mark.parametrize("rows", [2, 3])
def test_sum_bits_hold_every_sum_of_products_and_no_narrower_width_does(rows, activation, weight):
    config = ArrayConfig(
        rows, 2, activation_bits=activation, weight_bits=weight, offset="none", accumulator_depth=1
    )
    xs = range(-(1 << (activation - 1)), 1 << (activation - 1))
    ws = range(-(1 << (weight - 1)), 1 << (weight - 1))
    products = {x * w for x in xs for w in ws}
    for count in range(1, rows + 1):
        sums = {sum(terms) for terms in itertools.product(products, repeat=count)}
        assert config.sum_bits(count) == bits_for(min(sums), max(sums))
    assert config.column_bits == config.sum_bits(rows)


@pytest.mark.parametrize("mode", ["sum", "edge"])
def test_column_bits_hold_every_adjusted_sum(mode):
    config = ArrayConfig(
        2,
        2,
        activation_bits=2,
        weight_bits=2,
        offset_bits=3,
        adjusted_bits=4,
        offset=mode,
        accumulator_depth=1,
    )
    xs, ws, offsets = range(-2, 2), range(-2, 2), range(-4, 4)
    if mode == "edge":
        sums = [
            x * a + y * b
            for x, y in itertools.product(xs, repeat=2)
            for a, b in itertools.product(range(-8, 8), repeat=2)
        ]
    else:
        sums = [
            x * a + y * b + o * (x + y) for x, y, a, b in itertools.product(xs, xs, ws, ws) for o in offsets
        ]
        assert all(holds(config.input_sum_bits, x + y) for x in xs for y in xs)
    assert all(holds(config.column_bits, value) for value in (min(sums), max(sums)))


@pytest.mark.parametrize(
    ("rows", "columns", "lanes", "reads", "groups"),
    [
        (2, 2, 2, 1, 1),
        (8, 8, 8, 1, 1),
        (3, 7, 6, 2, 1),
        (2, 9, 8, 4, 1),
        (7, 3, 7, 1, 3),
        (12, 8, 12, 1, 2),
        (32, 2, 32, 1, 16),
        (2, 32, 32, 16, 1),
        (32, 32, 32, 1, 1),
    ],
)
def test_words_hold_whole_reads_and_are_covered_by_the_write_groups(rows, columns, lanes, reads, groups):
    config = ArrayConfig(rows, columns)
    assert (config.lanes, config.reads_per_word, config.groups) == (lanes, reads, groups)
    covered = [lane for group in range(groups) for lane in config.group_lanes(group)]
    assert covered == list(range(lanes))
    assert all(1 <= len(config.group_lanes(group)) <= columns for group in range(groups))
    assert config.word_bits == lanes * config.activation_bits


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, 500), (1, 8), (8, 33)])
def test_an_array_with_a_side_out_of_range_is_refused(rows, columns):
    with pytest.raises(HwquantError, match=rf"array {rows}x{columns}: (rows|columns) must be 2\.\.32"):
        ArrayConfig(rows, columns)


def test_an_unknown_offset_mode_is_refused():
    with pytest.raises(HwquantError, match="offset must be one of none, edge, sum, not 'row'"):
        ArrayConfig(8, 8, offset="row")


def test_the_depthwise_mode_needs_rows_and_offsets_at_the_edge():
    assert ArrayConfig(9, 9, tap_lines=3).tap_lines == 3
    for options in ({"rows": 8, "tap_lines": 3}, {"rows": 9, "tap_lines": 1, "columns": 10}):
        with pytest.raises(HwquantError, match=r"tap_lines must be|depthwise"):
            ArrayConfig(**{"columns": 8} | options)
    with pytest.raises(HwquantError, match="depthwise"):
        ArrayConfig(9, 9, tap_lines=3, offset="sum")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_packing": 3}, "weight_packing must be one of 1, 2, 4, 8, not 3"),
        ({"load_rows": 0}, "load_rows must be one of 1, 2, 4, 8, not 0"),
        ({"weight_slot_bits": 7}, "weight_slot_bits must hold a weight of 8 bits, .*; 7 are too few"),
        ({"weight_bits": 3, "weight_packing": 4}, ".* and 4 of at least one bit; 3 are too few"),
        ({"weight_packing": 2, "load_rows": 4}, r"load_rows must be at most weight_packing \(2\) and rows"),
        (
            {"weight_packing": 2, "load_rows": 2, "offset": "sum", "channel_offsets": True},
            "channel offsets in a sum column enter the array one row a cycle: load_rows must be 1",
        ),
    ],
)
def test_packings_that_no_hardware_has_are_refused(options, message):
    with pytest.raises(HwquantError, match=message):
        ArrayConfig(8, 8, **options)


def test_rows_enter_at_the_top_of_each_segment_as_wide_as_their_weights_may_be():
    config = ArrayConfig(9, 2, weight_packing=4, load_rows=4)
    # Two segments of five rows, and four of three, of which the last has none.
    assert config.entries == {3: ((4, 1),), 5: ((2, 1),), 6: ((4, 2),)}
    # Fields of 4 bits in the second of two parts, of 2 in the third of four, and a bit for the offset.
    assert [config.field_bits(part) for part in range(4)] == [9, 5, 3, 3]
    assert [config.entry_bits(row) for row in config.entries] == [5, 5, 3]
    assert ArrayConfig(8, 2).entries == {}


@pytest.mark.parametrize(("text", "sides"), [("8x8", (8, 8)), ("12X8", (12, 8)), ("2x32", (2, 32))])
def test_an_array_is_rows_by_columns(text, sides):
    assert parse_array(text) == sides


@pytest.mark.parametrize(
    "text", ["", "8", "8x", "x8", "2x8x8x8", "8 x 8", "-8x8", "8.0x8", "eightxeight", "0x8h"]
)
def test_what_is_not_an_array_is_refused_with_an_example(text):
    with pytest.raises(HwquantError, match="is not ROWSxCOLUMNS, such as 8x8"):
        parse_array(text)


@pytest.mark.parametrize("text", ["0x0", "3x500", "1x8", "33x8"])
def test_text_of_an_array_with_a_side_out_of_range_is_refused_with_the_limits(text):
    with pytest.raises(HwquantError, match=rf"array {text}: rows and columns must each be 2\.\.32"):
        parse_array(text)


def test_digits_of_other_alphabets_are_refused():
    with pytest.raises(HwquantError):
        parse_array("\N{SUPERSCRIPT TWO}x8")
