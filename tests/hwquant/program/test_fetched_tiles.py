"""Equal tiles: found, stored once, and cut out of passes such that each tile is where it was."""

from itertools import pairwise

import numpy as np
import pytest

from hwquant.program.external import BURST
from hwquant.program.fetched_tiles import COPIES, copies_apart, repeated, stored_once


@pytest.mark.parametrize(
    ("tiles", "expected"),
    [
        ("", []),
        ("abc", [(3, 1)]),
        ("aaaa", [(1, 4)]),
        ("xaaay", [(1, 1), (1, 3), (1, 1)]),
        ("xabababy", [(1, 1), (2, 3), (1, 1)]),
        ("abcxabcabc", [(4, 1), (3, 2)]),
        ("aabb", [(1, 2), (1, 2)]),
    ],
)
def test_parts_that_follow_each_other_are_found(tiles, expected):
    assert list(repeated(tiles)) == expected


def test_parts_cover_all_tiles():
    rng = np.random.default_rng(0)
    for _ in range(300):
        tiles = rng.integers(0, 3, rng.integers(0, 20)).tolist()
        place = 0
        for period, times in repeated(tiles):
            part = tiles[place : place + period]
            assert tiles[place : place + period * times] == part * times
            place += period * times
        assert place == len(tiles)


def cut(contents, words=16, beats=8, offsets=0):
    """Passes of one pass of tiles, their words, and what they are cut into."""
    rng = np.random.default_rng(1)
    kinds = {name: rng.integers(-9, 9, (words, 4)).astype(np.int16) for name in sorted(set(contents))}
    first = rng.integers(-9, 9, (offsets, 4)).astype(np.int16)
    weights = np.concatenate([first, *(kinds[name] for name in contents)])
    tiles = [0, *(offsets + words * k for k in range(1, len(contents) + 1))]
    return tiles, weights, copies_apart([tiles], weights, beats)


def test_copies_are_passes_of_their_own():
    contents = "xy" + "a" * (2 * COPIES + 3) + "z"
    _, _, found = cut(contents)
    assert [len(part) - 1 for part in found] == [2, COPIES, COPIES, 3, 1]


def test_parts_that_come_again_are_passes_of_their_own():
    _, _, found = cut("x" + "abc" * 5)
    assert [len(part) - 1 for part in found] == [1, 6, 6, 3]
    _, _, found = cut("abcdefghi" * 3)
    assert [len(part) - 1 for part in found] == [9, 9, 9]


def test_copies_of_less_than_a_burst_stay_where_they_are():
    contents = "x" + "a" * (BURST // 16 - 1) + "z"
    assert [len(part) - 1 for part in cut(contents, words=16, beats=1)[2]] == [len(contents)]
    assert len(cut("x" + "a" * (BURST // 16) + "z", words=16, beats=1)[2]) == 3


@pytest.mark.parametrize("offsets", [0, 1])
@pytest.mark.parametrize("contents", ["xaaaaaaaaaaaay", "aaaaaaaaaaaaaaaaa", "xyzw", "ababababab"])
def test_every_tile_is_stored_as_it_was(contents, offsets):
    tiles, weights, found = cut(contents, offsets=offsets)
    assert [edge for part in found for edge in pairwise(part)] == list(pairwise(tiles))
    starts, real, unique = stored_once(found, weights)
    assert len(unique) <= len(weights)
    for start, place, part in zip(starts, real, found):
        np.testing.assert_array_equal(unique[place : place + part[-1] - start], weights[start : part[-1]])
