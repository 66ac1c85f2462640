"""What is listed of a plan is what its steps do."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.listed_bands import bound
from hwquant.program.listing import listing
from hwquant.program.sizing import Requirements
from hwquant.program.steps import Compute, Load, Planned, Store


def passes(words, bits=32):
    net = Net(x=(4, 24, 10))
    wide = net.conv("x", 16)
    deep = net.conv(wide, 16, (3, 3), groups=16, padding=(1, 1, 1, 1))
    added = net.layer(net.term(deep, 4), net.term("x", 4))
    qgraph = net.build(net.conv(net.conv(added, 8, (3, 3), stride=(2, 2)), 4))
    memory = ExternalMemory(bits, timing=MemoryTiming(gap=0))
    return Compilation(
        qgraph,
        lowered_network(qgraph),
        Requirements((4, 4), limits={"activation_depth": words}, external=memory),
    )


@pytest.mark.parametrize("words", [200, 256, 400])
def test_bytes_and_bands_are_those_of_the_steps(words):
    compilation = passes(words)
    plan, found = compilation.plan, listing(compilation, "bands")
    rows = {row["layer"]: row for row in found.rows}
    assert list(rows) == [layer.name for layer in compilation.lowered]
    for number, layer in enumerate(compilation.lowered):
        row, parts = rows[layer.name], compilation.bands(layer)
        assert len(parts) == row["bands"] or row["output"] == "passed on"
        assert (row["output"] == "outside") == (layer.tensor in plan.outside)
        assert sum(isinstance(step, Compute) and step.of == number for step in plan.steps) == len(parts)
    # Beside layers, the input goes outside, and comes in from there.
    moved = {
        kind: sum(4 * step.run.count for step in plan.steps if isinstance(step, kind))
        for kind in (Load, Store)
    }
    received = 4 * sum(
        step.run.count for step in plan.steps if isinstance(step, Store) and step.run.tensor == "x"
    )
    assert found.summary["loaded"] == moved[Load]
    assert found.summary["stored"] == moved[Store] - received
    assert found.summary["outside"] == plan.outside_words
    assert found.summary["halves"] == list(compilation.halves)


def test_the_bands_of_a_layer_are_listed_alone():
    compilation = passes(200)
    names = {row["layer"] for row in listing(compilation, "mapped", "layer3").rows}
    assert len(names) > 1
    assert all(name.startswith("layer3") for name in names)
    tensors = {row["tensor"] for row in listing(compilation, "placed", "layer3").rows}
    assert any(name.startswith("layer2") for name in tensors)


def test_what_fits_is_inside():
    compilation = passes(5000)
    found = listing(compilation, "bands")
    assert found.summary == {"outside": 0}
    assert {(row["output"], row["bands"]) for row in found.rows} == {("inside", 1)}


@pytest.mark.parametrize(
    ("computed", "activations", "fetched", "expected"),
    [(10, 4, 5, "multiplications"), (8, 4, 5, "weights"), (8, 6, 5, "activations")],
)
def test_a_group_is_bound_by_what_takes_longest(computed, activations, fetched, expected):
    group = Planned(0, 1, "rows", 2, {}, {}, {}, (1,), 12.0, computed, activations, fetched)
    assert bound(group) == expected
