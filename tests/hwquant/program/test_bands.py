"""Groups of layers: what their bands make and read."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.bands import Role, Slices, divide, make_group, sample
from hwquant.program.compilation import lowered_network


def chain():
    """Two convolutions and a pool, one behind the other."""
    net = Net(x=(2, 12, 6))
    net.conv("x", 4, (3, 3), padding=(1, 1, 1, 1))
    net.conv("layer0", 4, (3, 3), padding=(1, 1, 1, 1))
    net.pool("layer1", (3, 3), (2, 2), padding=(1, 1, 1, 1))
    return net.build()


def group_of(qgraph, first, stop, inside, left, along="rows", lanes=2):
    planes = {name: -(-tensor.shape[0] // lanes) for name, tensor in qgraph.tensors.items()}
    slices = {
        name: Slices(tensor.shape[1], planes[name] * tensor.shape[2])
        if along == "rows"
        else Slices(planes[name], tensor.shape[1] * tensor.shape[2])
        for name, tensor in qgraph.tensors.items()
    }
    return make_group(lowered_network(qgraph), first, stop, inside, left, along, slices)


def test_roles_follow_from_what_is_inside_and_what_is_left():
    group = group_of(chain(), 0, 2, (), ("layer1",))
    assert group.roles == {"x": Role.LOADED, "layer0": Role.PASSING, "layer1": Role.STORED}
    group = group_of(chain(), 0, 2, ("x", "layer1"), ("layer1",))
    assert group.roles == {"x": Role.INSIDE, "layer0": Role.PASSING, "layer1": Role.INSIDE}
    assert group.names(Role.INSIDE, Role.PASSING) == ("x", "layer1", "layer0")


def test_bands_make_again_what_they_share():
    first, second, third = divide(group_of(chain(), 0, 2, (), ("layer1",)), 4)
    assert first.held == {"layer1": range(4), "layer0": range(5), "x": range(6)}
    assert second.held == {"layer1": range(4, 8), "layer0": range(3, 9), "x": range(2, 10)}
    assert third.held == {"layer1": range(8, 12), "layer0": range(7, 12), "x": range(6, 12)}
    assert second.made == {0: range(3, 9), 1: range(4, 8)}
    assert [band.share for band in (first, second, third)] == [
        {"layer1": range(start, start + 4)} for start in (0, 4, 8)
    ]


def test_a_tensor_inside_is_made_row_after_row():
    bands = divide(group_of(chain(), 0, 2, ("layer0",), ("layer1",)), 4)
    assert [band.made[0] for band in bands] == [range(5), range(5, 9), range(9, 12)]
    assert "layer0" not in bands[0].held


def test_tensors_of_several_heights_are_shared_alike():
    bands = divide(group_of(chain(), 1, 3, (), ("layer1", "pool2")), 4)
    assert [band.share["pool2"] for band in bands] == [range(2), range(2, 4), range(4, 6)]
    assert [band.share["layer1"] for band in bands] == [range(4), range(4, 8), range(8, 12)]
    assert bands[1].held["layer1"] == range(3, 8)


def test_planes_of_a_dense_layer_read_all_planes():
    bands = divide(group_of(chain(), 1, 3, (), ("pool2",), along="planes"), 1)
    own = range(1), range(1, 2)
    assert [band.made for band in bands] == [{0: part, 1: part} for part in own]
    assert [band.held["layer1"] for band in bands] == list(own)
    assert [band.held["layer0"] for band in bands] == [range(2)] * 2


@pytest.mark.parametrize("height", [1, 2, 3, 5, 12])
def test_samples_are_some_of_the_bands(height):
    group = group_of(chain(), 0, 2, (), ("layer1",))
    bands = divide(group, height)
    assert len(bands) == group.bands(height)
    some = sample(group, height)
    assert some[0].held == bands[0].held
    assert some[-1].held == bands[-1].held
    assert all(any(item.held == band.held for band in bands) for item in some)
    assert max(len(item.held["x"]) for item in some) == max(len(band.held["x"]) for band in bands)
