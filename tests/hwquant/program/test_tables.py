"""Tables as pages: what is stored, who reads it, and what hardware that exists can run."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant.errors import DoesNotFit
from hwquant.program import storage
from hwquant.program.compiler import compile_network
from hwquant.program.isa import Opcode
from hwquant.program.memories import memory_bits
from hwquant.qgraph import Layer, Table
from hwquant.random_networks import PLAIN, Features, random_qgraph

CHAIN = replace(PLAIN, layers=(4, 4), channels=(3, 3), size=(6, 6), pools=(), activation_bits=(8, 8))


def table(bits=8, seed=0, low=-128, high=128):
    return Table(np.random.default_rng(seed).integers(low, high, 1 << bits), 1.0, 0)


def with_tables(tables, features=CHAIN, seed=2):
    """A network whose layers have these tables, as far as there are some."""
    qgraph = random_qgraph(np.random.default_rng(seed), features)
    layers = [node for node in qgraph.nodes if isinstance(node, Layer)]
    made = {
        layer.name: replace(layer, table=item, low=item.limits[0], high=item.limits[1])
        for layer, item in zip(layers, tables)
        if item is not None
    }
    return replace(qgraph, nodes=tuple(made.get(node.name, node) for node in qgraph.nodes))


def pages(program):
    return [item.values["table"] for item in program.instructions if item.opcode is Opcode.CLAMP]


def test_equal_tables_are_stored_once_and_layers_without_one_read_the_identity():
    first, second = table(), table(seed=1)
    same = Table(first.values.copy(), 1.0, 3)
    program = compile_network(with_tables([first, None, same, second]), (4, 4))
    config = program.config
    assert (config.table_bits, config.tables, config.table_depth) == (8, 3, 768)
    assert pages(program) == [0, 1, 0, 2, 1]
    np.testing.assert_array_equal(np.roll(program.tables[0], 128), first.values)
    np.testing.assert_array_equal(np.roll(program.tables[1], 128), np.arange(-128, 128))
    assert memory_bits(config)["table"] == 2 * 768 * 8
    assert len(program.table_image) == 768
    assert max(program.table_image) < 256


def test_a_narrow_table_lies_at_the_ends_of_a_wide_page():
    program = compile_network(with_tables([table(4), table(10)]), (4, 4))
    assert program.config.table_bits == 10
    page = np.roll(program.tables[0], 512)
    assert (page[:504] == page[504]).all()
    assert (page[520:] == page[519]).all()
    np.testing.assert_array_equal(page[504:520], table(4).values)


def test_a_network_without_tables_is_compiled_as_before():
    program = compile_network(with_tables([]), (4, 4))
    assert program.config.tables == program.config.table_bits == program.config.table_depth == 0
    assert "table" not in memory_bits(program.config)
    assert all("table" not in item.values for item in program.instructions)
    assert {"table_bits", "tables"}.isdisjoint(program.config.to_json())


def test_hardware_with_tables_runs_networks_that_need_no_more(tmp_path):
    made = compile_network(with_tables([table(), table(seed=1)]), (4, 4))
    room = replace(made.config, table_bits=9)
    for tables, count in (([], 1), ([table(seed=5)], 2), ([table(9, 6), table(seed=7)], 3)):
        program = compile_network(with_tables(tables), (4, 4), config=room)
        assert program.config == room
        assert program.tables.shape == (count, 512)
        storage.save(program, tmp_path / "net.hwp")
        again = storage.load(tmp_path / "net.hwp")
        np.testing.assert_array_equal(again.tables, program.tables)
        assert again.checksum == program.checksum
    with pytest.raises(DoesNotFit, match="needs tables 4, the hardware has 3"):
        compile_network(with_tables([table(seed=s) for s in range(3)]), (4, 4), config=room)
    with pytest.raises(DoesNotFit, match="needs table_bits 10, the hardware has 9"):
        compile_network(with_tables([table(10)]), (4, 4), config=room)
    plain = compile_network(with_tables([]), (4, 4)).config
    with pytest.raises(DoesNotFit, match="needs table_bits 8, the hardware has 0"):
        compile_network(with_tables([table()]), (4, 4), config=plain)


def test_sums_wider_than_a_table_cannot_be_handed_on_beside_one():
    qgraph = with_tables([table()])
    last = qgraph.outputs[0].tensor
    wide = {**qgraph.tensors, last: replace(qgraph.tensors[last], bits=14)}
    with pytest.raises(DoesNotFit, match=r"needs table_bits 14, no array has more than 12.* no chain bits"):
        compile_network(replace(qgraph, tensors=wide), (4, 4))


def test_programs_of_different_tables_have_different_checksums():
    one, other = (compile_network(with_tables([table(seed=seed)]), (4, 4)) for seed in (0, 1))
    assert one.words == other.words
    assert one.checksum != other.checksum


@pytest.mark.parametrize("seed", range(6))
def test_lanes_without_a_channel_hold_zero_where_a_reader_counts_on_it(seed):
    """Weights that have no zero are not left out of the rows of lanes without a channel."""
    rng = np.random.default_rng(seed)
    features = Features(weight_bits=(2, 3), channels=(3, 5), tables=0.7, multiplier=seed % 2 == 1, pools=())
    qgraph = random_qgraph(rng, features)
    program = compile_network(qgraph, (4, 4))
    for item in program.tensors.values():
        assert item.zero_point == qgraph.tensors[item.name].zero_point
