"""Choices of what is inside, and of groups: those that a reader would make."""

from hwquant_testing.banded_networks import inverted_residuals
from hwquant_testing.small_networks import Net
from hwquant_testing.stepwise import planned

from hwquant.program.traffic import Port


def groups(qgraph, array, halves, **port):
    plan, _ = planned(qgraph, array, halves, Port(**{"word": 1.0, "weights": 1.0} | port))
    return plan, [(group.first, group.layers, group.along, group.bands) for group in plan.groups]


def small_end():
    """A picture that is halved again and again."""
    net = Net(x=(2, 32, 16))
    for channels in (4, 8, 8):
        net.conv(
            net.nodes[-1].name if net.nodes else "x", channels, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1)
        )
    return net.build()


def test_tensors_stay_inside_as_soon_as_they_fit():
    plan, found = groups(small_end(), (4, 4), (200, 140))
    assert set(plan.outside) == {"x"}
    assert plan.groups[-1].where["layer2"] == "inside"
    assert found[0][3] > 1
    assert found[-1][3] == 1


def test_a_larger_memory_moves_no_more():
    moved = []
    for size in (120, 160, 240, 400, 800):
        plan, _ = groups(inverted_residuals(), (4, 4), (size, size))
        moved.append(sum(sum(group.loaded.values()) + sum(group.stored.values()) for group in plan.groups))
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > 0
    assert moved[-1] == 0


def test_a_slow_port_joins_layers():
    """Layers that could be computed whole, one by one, if only words came and went for nothing."""
    together = {}
    for word in (0.001, 100.0):
        _, found = groups(inverted_residuals(), (4, 4), (150, 150), word=word)
        together[word] = max(count for _, count, _, _ in found)
    assert together[100.0] >= 3
    assert together[100.0] >= together[0.001]


def test_weights_that_do_not_fit_are_used_in_one_band_each():
    net = Net(x=(8, 6, 6))
    net.conv("x", 64, (3, 3), padding=(1, 1, 1, 1))
    qgraph = net.build()
    # The output, of 16 planes, is too large for a half; the input is not.
    large, _ = groups(qgraph, (4, 4), (100, 300), weights=10.0, room=10_000)
    small, found = groups(qgraph, (4, 4), (100, 300), weights=10.0, room=40)
    assert [(along, bands > 1) for _, _, along, bands in found] == [("planes", True)]
    assert small.groups[0].weights == large.groups[0].weights == (16 * 2 * 9 * 4,)


def test_windows_as_high_as_the_picture_are_computed_by_planes():
    net = Net(x=(32, 10, 10))
    net.conv("x", 32, (10, 10), groups=32)
    _, found = groups(net.build(), (4, 4), (300, 100))
    assert [item[2] for item in found] == ["planes"]
