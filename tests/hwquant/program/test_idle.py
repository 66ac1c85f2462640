"""Arrays of which a part is idle, and the smaller ones that are as fast."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.idle import judge_array


def judged(qgraph, shape):
    """The array that is recommended, after checking that it is smaller and as fast; the message too."""
    program = compile_network(qgraph, shape)
    advice = judge_array(qgraph, program)
    if not advice:
        return None, ""
    (item,) = advice
    assert (item.kind, item.where) == ("idle_array", f"{shape[0]}x{shape[1]}")
    rows, columns = map(int, item.option.removeprefix("--array ").split("x"))
    assert rows * columns < shape[0] * shape[1]
    cycles = timing(compile_network(qgraph, (rows, columns))).cycles
    assert cycles <= timing(program).cycles
    assert item.value == cycles
    assert f"{rows}x{columns} takes {cycles:,} cycles" in item.message
    return (rows, columns), item.message


@pytest.mark.parametrize(
    ("shape", "better"),
    [((4, 6), (4, 4)), ((4, 5), (4, 4)), ((8, 12), (8, 8)), ((6, 4), (4, 4)), ((32, 32), (8, 16))],
)
def test_a_smaller_array_that_is_as_fast_is_named(digits_qgraph, shape, better):
    assert judged(digits_qgraph, shape)[0] == better


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (8, 16), (2, 2), (4, 8)])
def test_arrays_without_an_idle_part_get_no_advice(digits_qgraph, shape):
    assert judged(digits_qgraph, shape) == (None, "")


def test_the_next_larger_array_whose_columns_are_used_is_named(digits_qgraph):
    cycles = timing(compile_network(digits_qgraph, (4, 8))).cycles
    assert f"; 4x8 takes {cycles:,}" in judged(digits_qgraph, (4, 6))[1]


def test_sixteen_channels_leave_half_of_a_wide_array_idle():
    net = Net(x=(8, 8, 8))
    qgraph = net.build(net.conv(net.conv("x", 16), 16))
    assert judged(qgraph, (8, 32))[0] == (8, 16)
