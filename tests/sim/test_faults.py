"""What a noisy line does to bytes."""

import time
from collections import deque

import pytest

from hwquant.link import Link
from hwquant.sim.faults import Faults, FaultyLink


class Loop(Link):
    """Returns what was written."""

    name = "loop"

    def __init__(self):
        self.written = deque()

    def write(self, data):
        self.written.append(data)

    def read(self, timeout):
        if not self.written:
            time.sleep(timeout)
            return b""
        return self.written.popleft()

    def close(self):
        self.written.clear()


DATA = bytes(range(200)) * 5


def through(faults, direction):
    """DATA after one passage outward or inward, and the number of faults."""
    loop = Loop()
    link = FaultyLink(loop, faults)
    if direction == "outward":
        link.write(DATA)
        return b"".join(loop.written), link.injected
    loop.write(DATA)
    received = b""
    while part := link.read(0.2):
        received += part
    return received, link.injected


@pytest.mark.parametrize("direction", ["outward", "inward"])
def test_each_kind_of_fault_changes_the_bytes_as_it_says(direction):
    assert through(Faults(), direction) == (DATA, 0)
    changed, count = through(Faults(corrupt=0.05), direction)
    assert len(changed) == len(DATA)
    assert sum(one != other for one, other in zip(changed, DATA)) == count > 20
    lost, count = through(Faults(drop=0.05), direction)
    assert len(lost) == len(DATA) - count < len(DATA) - 20
    doubled, count = through(Faults(duplicate=0.05), direction)
    assert len(doubled) == len(DATA) + count > len(DATA) + 20
    late, count = through(Faults(delay=0.005, seconds=0.001), direction)
    assert late == DATA
    assert count > 0


def test_the_same_seed_gives_the_same_faults():
    faults = Faults(corrupt=0.1, drop=0.1, duplicate=0.1, seed=3)
    first = through(faults, "outward")
    assert first == through(faults, "outward")
    assert first != through(Faults(corrupt=0.1, drop=0.1, duplicate=0.1, seed=4), "outward")


def test_a_late_byte_is_not_there_before_its_time():
    loop = Loop()
    link = FaultyLink(loop, Faults(delay=1.0, seconds=0.05))
    loop.write(b"ab")
    assert link.read(0.01) == b""
    assert link.read(1.0) == b"a"
    assert link.read(1.0) == b"b"
    assert link.read(0.01) == b""
