"""Slots of a group's pieces: in the right halves, side by side while they are needed."""

from itertools import combinations

import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.bands import Role, Slices, divide, make_group
from hwquant.program.compilation import lowered_network
from hwquant.program.workspace import PASSING, arrange, needs


def group_of(left, inside=()):
    """Four layers, one behind the other, of which the last adds what the first made; and words of a row each."""
    net = Net(x=(2, 12, 1))
    first = net.conv("x", 2)
    third = net.conv(net.conv(first, 6), 2)
    net.layer(net.term(third, 2), net.term(first, 2))
    qgraph = net.build()
    slices = {
        name: Slices(tensor.shape[1], -(-tensor.shape[0] // 2)) for name, tensor in qgraph.tensors.items()
    }
    return make_group(lowered_network(qgraph), 0, 4, inside, left, "rows", slices)


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("passing", PASSING)
def test_slots_that_are_needed_at_once_do_not_overlap(passing, turns):
    group = group_of(("layer3",))
    need = needs(group, divide(group, 3))
    assert need.sizes == {"x": 3, "layer0": 3, "layer1": 9, "layer2": 3, "layer3": 3}
    space = arrange(group, need, {}, passing, turns)
    assert space.halves["x"] == 0
    assert space.halves["layer3"] == 1
    assert {name: len(slots) for name, slots in space.slots.items()} == {
        **dict.fromkeys(("layer0", "layer1", "layer2"), 1),
        **dict.fromkeys(("x", "layer3"), turns),
    }
    spans = []
    for name, slots in space.slots.items():
        first, last = group.uses[name] if group.roles[name] is Role.PASSING else (0, 3)
        for slot in slots:
            assert slot + need.sizes[name] <= space.sizes[space.halves[name]]
            spans.append((space.halves[name], first, last, slot, slot + need.sizes[name]))
    for (half, first, last, begin, end), other in combinations(spans, 2):
        if half == other[0] and first <= other[2] and other[1] <= last:
            assert end <= other[3] or other[4] <= begin


def test_pieces_are_passed_on_in_a_half_or_from_one_to_the_other():
    group = group_of(("layer3",))
    need = needs(group, divide(group, 3))
    found = {
        passing: [arrange(group, need, {}, passing, 2).halves[f"layer{n}"] for n in range(3)]
        for passing in PASSING
    }
    assert found == {"second": [1, 1, 1], "first": [0, 0, 0], "across": [1, 0, 1]}


def test_what_is_inside_takes_no_slot():
    group = group_of(("layer3",), inside=("x", "layer3"))
    space = arrange(group, needs(group, divide(group, 3)), {"x": 1, "layer3": 0}, "across", 2)
    assert space.slots.keys() == {"layer0", "layer1", "layer2"}
    assert (space.halves["x"], space.halves["layer0"], space.halves["layer3"]) == (1, 0, 0)


def test_a_piece_that_all_bands_have_takes_one_slot():
    net = Net(x=(2, 6, 1))
    factors = net.conv("x", 2, (6, 1), groups=2)
    qgraph = net.build(net.product("x", factors))
    slices = {name: Slices(tensor.shape[1], 1) for name, tensor in qgraph.tensors.items()}
    group = make_group(lowered_network(qgraph), 1, 2, (), ("product1",), "rows", slices)
    need = needs(group, divide(group, 2))
    assert need.constant == {"layer0"}
    space = arrange(group, need, {}, "second", 2)
    assert {name: len(slots) for name, slots in space.slots.items()} == {"x": 2, "layer0": 1, "product1": 2}
