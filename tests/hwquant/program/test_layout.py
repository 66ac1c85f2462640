"""Tensors as words, packed kernel rows, and memory that is used again."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.program.layout import (
    Lifetime,
    Placement,
    WindowPacking,
    allocate,
    allocate_within,
    integers_to_words,
    words_to_integers,
)

shapes = st.tuples(st.integers(1, 40), st.integers(1, 5), st.integers(1, 5))


@settings(deadline=None)
@given(shapes, st.integers(1, 32), st.integers(-8, 7), st.integers(0, 1 << 30))
def test_a_tensor_laid_out_as_words_comes_back(shape, lanes, zero_point, seed):
    place = Placement("t", shape, lanes, zero_point)
    q = np.random.default_rng(seed).integers(-8, 8, (2, *shape))
    words = place.to_words(q)
    assert words.shape == (2, place.words, lanes)
    np.testing.assert_array_equal(place.from_words(words), q)


@settings(deadline=None)
@given(shapes, st.integers(1, 32), st.integers(0, 1 << 30))
def test_each_lane_is_where_the_layout_says(shape, lanes, seed):
    channels, height, width = shape
    place = Placement("t", shape, lanes, zero_point=-99)
    q = np.random.default_rng(seed).integers(-8, 8, (1, *shape))
    words = place.to_words(q)[0]
    for plane, y, x, lane in itertools.product(
        range(-(-channels // lanes)), range(height), range(width), range(lanes)
    ):
        channel = plane * lanes + lane
        expected = q[0, channel, y, x] if channel < channels else -99
        assert words[plane * height * width + y * width + x, lane] == expected


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize("lanes", [1, 3, 32])
def test_integers_hold_lane_0_in_the_low_bits(lanes, bits):
    half = 1 << (bits - 1)
    words = np.random.default_rng(0).integers(-half, half, (20, lanes))
    values = words_to_integers(words, bits)
    assert all(type(value) is int and 0 <= value < 1 << (bits * lanes) for value in values)
    for value, word in zip(values, words):
        assert [(value >> (bits * lane)) % (1 << bits) for lane in range(lanes)] == (
            word % (1 << bits)
        ).tolist()
    np.testing.assert_array_equal(integers_to_words(values, lanes, bits), words)


def test_an_empty_list_of_words_keeps_its_lanes():
    assert integers_to_words([], 4, 8).shape == (0, 4)


@pytest.mark.parametrize("seed", range(30))
def test_a_packed_row_holds_the_pixels_that_each_output_reads(seed):
    rng = np.random.default_rng(seed)
    channels, height, width = (int(value) for value in rng.integers(1, 7, 3))
    kernel, stride, dilation, left, right = (
        int(value) for value in rng.integers((2, 1, 1, 0, 0), (6, 4, 3, 4, 4))
    )
    right += max(0, dilation * (kernel - 1) + 1 - width - left - right)
    outputs = (width + left + right - dilation * (kernel - 1) - 1) // stride + 1
    packing = WindowPacking((channels, height, width), kernel, stride, dilation, left, outputs)
    q = rng.integers(-8, 8, (2, channels, height, width))
    packed = packing.pack(q, 77)
    assert packed.shape == (2, *packing.packed_shape) == (2, kernel * channels, height, outputs)
    for n, k, c, y, x in itertools.product(
        range(2), range(kernel), range(channels), range(height), range(outputs)
    ):
        column = x * stride + k * dilation - left
        expected = q[n, c, y, column] if 0 <= column < width else 77
        assert packed[n, k * channels + c, y, x] == expected


def test_a_packed_placement_counts_its_own_words():
    packing = WindowPacking((3, 4, 5), kernel=3, stride=1, dilation=1, left=1, width=5)
    place = Placement("x", (3, 4, 5), lanes=4, zero_point=0, packing=packing)
    assert place.stored_shape == (9, 4, 5)
    assert (place.plane, place.words) == (20, 60)


@st.composite
def lifetimes(draw):
    count = draw(st.integers(1, 14))
    items = []
    for number in range(count):
        birth = draw(st.integers(-1, 10))
        items.append(Lifetime(f"t{number}", draw(st.integers(1, 30)), birth, birth + draw(st.integers(0, 5))))
    return items


@given(lifetimes())
def test_tensors_that_live_at_the_same_time_do_not_overlap(items):
    addresses, peak = allocate(items)
    assert set(addresses) == {item.name for item in items}
    assert min(addresses.values()) >= 0
    assert peak == max(addresses[item.name] + item.words for item in items)
    for a, b in itertools.combinations(items, 2):
        if a.birth <= b.death and b.birth <= a.death:
            first, second = sorted((a, b), key=lambda item: addresses[item.name])
            assert addresses[first.name] + first.words <= addresses[second.name]


@given(lifetimes())
def test_the_peak_is_between_what_is_alive_at_once_and_everything(items):
    _, peak = allocate(items)
    steps = range(-1, 20)
    alive = max(sum(item.words for item in items if item.birth <= step <= item.death) for step in steps)
    assert alive <= peak <= sum(item.words for item in items)


def test_memory_of_tensors_that_are_no_longer_needed_is_used_again():
    chain = [Lifetime(f"t{n}", 10, n, n + 1) for n in range(20)]
    assert allocate(chain)[1] == 20
    assert allocate([])[1] == 0


lifetimes = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=14
).map(
    lambda items: [
        Lifetime(f"{number}", words, birth, birth + length)
        for number, (words, birth, length) in enumerate(items)
    ]
)


@settings(deadline=None)
@given(lifetimes)
def test_trying_on_within_a_room_never_takes_more(items):
    least = max(sum(item.words for item in items if item.birth <= time <= item.death) for time in range(12))
    _, plain = allocate(items)
    addresses, peak = allocate_within(items, least)
    assert least <= peak <= plain
    assert peak == max(addresses[item.name] + item.words for item in items)
    for one, other in itertools.combinations(items, 2):
        if one.birth <= other.death and other.birth <= one.death:
            assert (
                addresses[one.name] + one.words <= addresses[other.name]
                or addresses[other.name] + other.words <= addresses[one.name]
            )


def test_trying_on_finds_room_where_the_usual_orders_do_not():
    found = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        items = [
            Lifetime(f"{number}", int(rng.integers(1, 20)), int(birth), int(birth + rng.integers(0, 4)))
            for number, birth in enumerate(rng.integers(0, 8, 10))
        ]
        least = max(
            sum(item.words for item in items if item.birth <= time <= item.death) for time in range(12)
        )
        found += allocate(items)[1] > least == allocate_within(items, least)[1]
    assert found > 5
