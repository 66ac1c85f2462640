"""Copies of pixels in files: read as they were written, and refused where anything is amiss."""

import numpy as np
import pytest

from hwquant.copies import Copy, Grid
from hwquant.errors import HwquantError
from hwquant.graph import Rearrange
from hwquant.record import Record
from hwquant.stored_copies import decode_copies, encode_copies

NODE = Rearrange(
    "r",
    ("a", "b"),
    (2, 3, 4),
    (
        Copy(0, np.array([1, -1]), (2, 0), (-1, 1), Grid((0, 0), (1, 2), (3, 2))),
        Copy(1, np.array([0, 1]), (0, 0), (0, 2), Grid((0, 1), (1, 2), (3, 2))),
    ),
)


def stored():
    arrays = {}
    return {"name": "r", **encode_copies(NODE, "layers/0", arrays)}, arrays


def test_what_is_written_is_read():
    meta, arrays = stored()
    again = decode_copies(Record(meta, "layer 'r'", "layers/0"), arrays)
    assert (again.name, again.inputs, again.shape) == (NODE.name, NODE.inputs, NODE.shape)
    for one, other in zip(again.copies, NODE.copies, strict=True):
        assert (one.input, one.source, one.step, one.target) == (
            other.input,
            other.source,
            other.step,
            other.target,
        )
        np.testing.assert_array_equal(one.channels, other.channels)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("input", 2, "has a copy of"),
        ("source", [0, -1], "each must be an integer and at least 0"),
        ("spacing", [0, 1], "at least 1"),
        ("size", [3, 1 << 60], "not within"),
        ("start", [1 << 60, 0], "not within"),
        ("size", [3, 1], "leaves pixels out"),
        ("size", None, "no list 'size'"),
    ],
)
def test_damaged_copies_are_refused(key, value, problem):
    meta, arrays = stored()
    meta["parts"][0][key] = value
    with pytest.raises(HwquantError, match=problem):
        decode_copies(Record(meta, "layer 'r'", "layers/0"), arrays)


def test_damaged_channels_are_refused():
    meta, arrays = stored()
    for channels in (np.array([1.0, 2.0]), np.array([[1, 2]]), np.array([1])):
        with pytest.raises(HwquantError, match="channels"):
            decode_copies(
                Record(meta, "layer 'r'", "layers/0"), arrays | {"layers/0/parts/0/channels": channels}
            )
    with pytest.raises(HwquantError, match="copies nothing"):
        decode_copies(Record(meta | {"parts": []}, "layer 'r'", "layers/0"), arrays)
