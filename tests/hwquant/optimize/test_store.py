"""What is kept, and what counts as absent."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant.fingerprint import fingerprint
from hwquant.graph import Conv
from hwquant.optimize.store import Store
from hwquant.search.evaluate import network_checksum


@pytest.fixture
def pruned(digits_graph):
    nodes = [
        replace(node, weight=np.where(node.weight > 0, node.weight, 0.0)) if isinstance(node, Conv) else node
        for node in digits_graph.nodes
    ]
    return replace(digits_graph, nodes=tuple(nodes))


@pytest.mark.parametrize("in_memory", [True, False])
def test_networks_come_back_as_they_were(in_memory, digits_graph, digits_qgraph, pruned, tmp_path):
    place = None if in_memory else tmp_path / "work"
    store = Store(place, digits_graph, "owner")
    store.keep_pruned("8x8-1", pruned)
    store.keep_trained((0, 1), digits_qgraph)
    again = store if in_memory else Store(place, digits_graph, "owner")
    assert fingerprint(again.pruned("8x8-1")) == fingerprint(pruned)
    checksum = network_checksum(digits_qgraph)
    assert network_checksum(again.trained((0, 1), checksum)) == checksum
    assert again.trained((0, 1), "another") is None
    assert again.trained((0, 2), checksum) is None
    assert again.pruned("8x8-2") is None


def test_what_is_of_something_else_or_damaged_counts_as_absent(digits_graph, pruned, digits_qgraph, tmp_path):
    Store(tmp_path, digits_graph, "owner").keep_pruned("a", pruned)
    Store(tmp_path, digits_graph, "owner").keep_trained((1,), digits_qgraph)
    assert Store(tmp_path, digits_graph, "other").pruned("a") is None
    for path in tmp_path.iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    store = Store(tmp_path, digits_graph, "owner")
    assert store.pruned("a") is None
    assert store.trained((1,), network_checksum(digits_qgraph)) is None
