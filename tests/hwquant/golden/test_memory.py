import numpy as np

from hwquant.golden import memory
from hwquant.golden.memory import LINE, REGION, Arena, borrowed


def test_arrays_are_aligned_and_do_not_overlap():
    arena = Arena()
    shapes = [(3,), (1 << 20,), (5, 7), (REGION,), (2, 3)]
    arrays = [arena.zeros(shape) for shape in shapes]
    assert [array.shape for array in arrays] == shapes
    for number, array in enumerate(arrays):
        assert array.dtype == np.float32
        assert array.ctypes.data % 4 == 0
        array.fill(number)
    assert all((array == number).all() for number, array in enumerate(arrays))
    assert (arrays[2].ctypes.data - arrays[0].ctypes.data) % LINE == 0


def test_zeros_are_zero_in_used_memory():
    arena = Arena()
    arena.zeros((100,)).fill(7)
    size = arena.size
    arena.reset()
    assert not arena.zeros((50,), np.float64).any()
    assert arena.size == size


def test_a_role_is_one_memory_unless_it_is_too_small():
    arena = Arena()
    first, second = arena.shared("sums", 4000, (10, 10)), arena.shared("sums", 4000, (20, 25), np.float64)
    assert np.shares_memory(first, second)
    assert not np.shares_memory(first, arena.shared("sums", 4000, (1001,)))
    assert not np.shares_memory(first, arena.shared("addend", 4000, (10, 10)))
    assert not np.shares_memory(first, arena.zeros((10, 10)))


def test_what_is_borrowed_is_lent_again_but_to_one_at_a_time(monkeypatch):
    monkeypatch.setattr(memory, "_idle", [])
    with borrowed() as first, borrowed() as second:
        assert first is not second
    with borrowed() as third:
        assert third in (first, second)


def test_no_more_is_kept_than_the_limit(monkeypatch):
    monkeypatch.setattr(memory, "_idle", [])
    monkeypatch.setattr(memory, "KEPT", REGION)
    with borrowed() as first, borrowed() as second:
        first.zeros((8,))
        second.zeros((8,))
    assert memory._idle == [second]
