"""What is searched: configurations and their neighbours."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwquant.optimize.space import Space
from hwquant.quantize import QuantizeOptions

SETTINGS = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def spaces(draw):
    widths = st.lists(st.integers(1, 8), min_size=1)
    modes = st.lists(st.sampled_from(["none", "edge", "sum"]), min_size=1)
    layers = [f"layer{index}" for index in range(draw(st.integers(1, 4)))]
    space = Space.of(layers, draw(widths), draw(widths), draw(modes))
    return Space(space.layers, space.bits, space.activation_bits, space.offsets, draw(st.integers(1, 4)))


@st.composite
def places(draw):
    """A space and one of its configurations."""
    space = draw(spaces())
    return space, tuple(draw(st.sampled_from(values)) for values in space.choices.values())


@SETTINGS
@given(places())
def test_neighbours_are_in_the_space_and_differ(place):
    space, configuration = place
    assert configuration in space
    for item in space.neighbours(configuration):
        assert item in space
        assert item != configuration
        layers = item[3:] != configuration[3:]
        assert layers + sum(a != b for a, b in zip(item[:3], configuration[:3])) == 1


@SETTINGS
@given(places())
def test_a_step_narrower_and_other_offsets_are_there(place):
    space, configuration = place
    steps = list(space.neighbours(configuration))
    for index, values in enumerate(space.choices.values()):
        after = values.index(configuration[index]) + 1
        wanted = values if index == 1 else values[after : after + 1]
        for value in set(wanted) - {configuration[index]}:
            assert (*configuration[:index], value, *configuration[index + 1 :]) in steps


@SETTINGS
@given(places())
def test_a_design_says_what_a_configuration_chooses(place):
    space, configuration = place
    design = space.design(configuration)
    assert tuple(design.bits.values()) == configuration[3:]
    if design.offset != "none" and design.activation_bits > 1:
        options = design.options(QuantizeOptions(per_channel=True))
        assert (options.bits, options.activation_bits) == (design.bits, design.activation_bits)
        assert options.per_channel
        assert not options.symmetric


def test_the_baseline_has_8_bits_and_every_offset_mode_and_no_neighbours_elsewhere():
    space = Space.of(["a", "b"], (2, 4), (4, 5), ("edge",))
    designs = [space.design(item) for item in space.baseline]
    assert {item.offset for item in designs} == {"none", "edge", "sum"}
    assert all(item.activation_bits == 8 and set(item.bits.values()) == {8} for item in designs)
    assert not any(list(space.neighbours(item)) for item in space.baseline)


def test_the_start_is_of_the_dense_network_and_spreads_over_widths_and_offsets():
    space = Space.of(["a", "b"], (2, 4, 8), (4, 6, 8), ("edge", "none"))
    start = space.start(12, seed=0)
    assert len(start) == len(set(start)) == 12
    assert all(item in space and item[0] == 0 and len(set(item[3:])) == 1 for item in start)
    assert {item[2] for item in start} == {4, 6, 8}
    assert {item[3] for item in start} == {2, 4, 8}
    assert {item[1] for item in start} == {0, 1}
    assert start == space.start(12, seed=0) != space.start(12, seed=1)
    assert len(space.start(100, seed=0)) == 18
