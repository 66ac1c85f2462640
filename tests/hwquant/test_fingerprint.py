"""Equal values have equal checksums, different ones do not."""

import itertools

import numpy as np
import pytest

from hwquant.fingerprint import fingerprint
from hwquant.graph import Clip

DIFFERENT = [
    None,
    0,
    False,
    0.0,
    "",
    "0",
    (),
    (0,),
    (0, 0),
    ((0,), 0),
    {},
    {"a": 0},
    {"a": 1},
    {"b": 0},
    np.zeros(2),
    np.zeros(3),
    np.zeros((1, 2)),
    np.zeros(2, np.float32),
    np.ones(2),
    Clip("a", ("x",), 0.0),
    Clip("a", ("y",), 0.0),
    Clip("b", ("x",), 0.0),
]


def test_values_that_differ_in_type_shape_or_content_have_different_checksums():
    for a, b in itertools.combinations(DIFFERENT, 2):
        assert fingerprint(a) != fingerprint(b), (a, b)


def test_equal_values_have_equal_checksums_whatever_their_order_and_layout():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint([1, 2]) == fingerprint((1, 2))
    x = np.arange(6).reshape(2, 3)
    assert fingerprint(x) == fingerprint(np.asfortranarray(x)) == fingerprint(x.astype(">i8"))
    assert fingerprint(np.float64(0.5)) == fingerprint(0.5)


def test_values_divided_in_another_way_have_another_checksum():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(1, 2) != fingerprint(12)


def test_what_has_no_fingerprint_is_refused():
    with pytest.raises(TypeError, match="a set has no fingerprint"):
        fingerprint({1, 2})
