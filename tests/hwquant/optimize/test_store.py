"""What is kept, and what counts as absent."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant import container
from hwquant.fingerprint import fingerprint
from hwquant.graph import Conv
from hwquant.optimize.store import KIND, VERSION, Store


@pytest.fixture
def pruned(digits_graph):
    nodes = [
        replace(node, weight=np.where(node.weight > 0, node.weight, 0.0)) if isinstance(node, Conv) else node
        for node in digits_graph.nodes
    ]
    return replace(digits_graph, nodes=tuple(nodes))


@pytest.mark.parametrize("in_memory", [True, False])
def test_networks_come_back_as_they_were(in_memory, digits_graph, pruned, tmp_path):
    place = None if in_memory else tmp_path / "work"
    store = Store(place, digits_graph, "owner")
    store.keep("8x8-1", pruned)
    again = store if in_memory else Store(place, digits_graph, "owner")
    assert fingerprint(again.get("8x8-1")) == fingerprint(pruned)
    assert again.get("8x8-2") is None


def test_what_is_of_something_else_or_damaged_counts_as_absent(digits_graph, pruned, tmp_path):
    Store(tmp_path, digits_graph, "owner").keep("a", pruned)
    assert Store(tmp_path, digits_graph, "other").get("a") is None
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert Store(tmp_path, digits_graph, "owner").get("a") is None


def test_a_file_under_another_name_counts_as_absent(digits_graph, pruned, tmp_path):
    store = Store(tmp_path, digits_graph, "owner")
    store.keep("a", pruned)
    (path,) = tmp_path.iterdir()
    path.rename(path.with_stem("b"))
    assert Store(tmp_path, digits_graph, "owner").get("b") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda array: np.full_like(array, np.nan),
        lambda array: array.astype(np.int64),
        lambda array: array[:-1],
    ],
)
def test_weights_that_are_none_count_as_absent(digits_graph, pruned, tmp_path, change):
    Store(tmp_path, digits_graph, "owner").keep("a", pruned)
    (path,) = tmp_path.iterdir()
    meta, arrays = container.read(path, KIND, VERSION)
    name = min(arrays)
    container.write(path, KIND, VERSION, meta, {**arrays, name: change(arrays[name])})
    assert Store(tmp_path, digits_graph, "owner").get("a") is None
