"""Several samples in one inference: the same integers, in hardware that does not know of it."""

import re
import shutil

import numpy as np
import pytest
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError, Unsupported
from hwquant.golden import run as golden
from hwquant.program import storage
from hwquant.program.batch import apart, batched, together
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.sim.check import verify

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


def dense(seed=0):
    net = Net(seed=seed, x=(20, 1, 1))
    first = net.conv("x", 9, (1, 1), offset=3)
    second = net.layer(net.term(first, 12), net.term("x", 12))
    return net.build(net.conv(net.concat(second, first), 5, (1, 1), bits=4), first)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 13])
@pytest.mark.parametrize("batch", [1, 4, 6])
def test_samples_side_by_side_come_apart_again(count, batch):
    q = np.random.default_rng(0).integers(-128, 128, (count, 7, 1, 1))
    rows = together(q, batch)
    assert rows.shape == ((-(-count // batch), 7, batch, 1) if batch > 1 else q.shape)
    assert np.array_equal(apart(rows, batch)[:count], q)
    assert (apart(rows, batch)[count:] == q[-1]).all()


@pytest.mark.one_in(3)
@needs_compiler
@pytest.mark.parametrize(
    ("batch", "array"),
    [(2, (4, 4)), (5, (3, 5)), (16, (4, 4)), *nightly([(2, (3, 5)), (5, (4, 4)), (16, (3, 5))])],
)
def test_a_batch_is_computed_in_hardware(batch, array, tmp_path):
    qgraph = dense()
    program = compile_network(qgraph, array, batch=batch)
    q = images(qgraph, 2 * batch + 1)
    found = verify(program, qgraph, q, simulator="cxxrtl", watch=2)
    assert (found.samples, found.mismatches) == (3, 0), found.first
    storage.save(program, tmp_path / "net.hwp")
    loaded = storage.load(tmp_path / "net.hwp")
    assert loaded.batch == batch
    results = loaded.results(np.concatenate([loaded_outputs(loaded, golden(qgraph, q))]))
    for name, want in golden(qgraph, q).items():
        assert np.array_equal(results[name][: len(want)], want)


def loaded_outputs(program, tensors):
    """The words of output frames that hold these tensors."""
    return np.concatenate(
        [item.to_words(together(tensors[item.name], program.batch)) for item in program.outputs], axis=1
    )


def test_weights_are_loaded_once_for_all_samples():
    qgraph = dense()
    one, many = (compile_network(qgraph, (8, 8), batch=batch) for batch in (1, 16))
    stored = [program.weights.size * program.config.slot_bits for program in (one, many)]
    assert stored[0] == stored[1]
    assert timing(many).cycles < 16 * timing(one).cycles / 3
    assert many.macs == 16 * one.macs


def test_a_program_of_one_sample_is_as_it_always_was(tmp_path):
    qgraph = dense()
    for number, program in enumerate(
        (compile_network(qgraph, (4, 4)), compile_network(qgraph, (4, 4), batch=1))
    ):
        storage.save(program, tmp_path / f"{number}.hwp")
    assert (tmp_path / "0.hwp").read_bytes() == (tmp_path / "1.hwp").read_bytes()


def convolution():
    net = Net(x=(2, 4, 4))
    net.conv("x", 3, (3, 3))
    return net.build()


def padded():
    net = Net(x=(2, 1, 1))
    net.conv("x", 3, (3, 3), padding=(1, 1, 1, 1))
    return net.build()


@pytest.mark.parametrize(
    ("make", "reason"), [(convolution, "of 'x', it has 4x4 pixels"), (padded, "it moves pixels")]
)
def test_what_looks_at_several_pixels_has_no_batch(make, reason):
    with pytest.raises(Unsupported, match=re.escape(reason)):
        compile_network(make(), (4, 4), batch=2)


@pytest.mark.parametrize("batch", [0, -1, 1025])
def test_a_batch_is_within_bounds(batch):
    with pytest.raises(HwquantError, match=r"1 to 1,024 samples, not -?\d+"):
        batched(dense(), batch)
