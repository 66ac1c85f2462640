"""The generator that other tests lean on: repeatable, obedient, and worth running."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant import hwq
from hwquant.golden import run
from hwquant.qgraph import Concat, Layer, MaxPool
from hwquant.random_networks import PLAIN, Features, random_images, random_qgraph


def networks(features, count=150):
    return [random_qgraph(np.random.default_rng(seed), features) for seed in range(count)]


def parts(features):
    """What occurs in the networks of 150 seeds."""
    found = set()
    for qgraph in networks(features):
        for node in qgraph.nodes:
            match node:
                case Concat():
                    found.add("concat")
                case MaxPool():
                    overlapping = any(s < k for s, k in zip(node.window.stride, node.window.kernel))
                    found.add(
                        "padded pool" if node.window.padded else "overlapping pool" if overlapping else "pool"
                    )
                case Layer():
                    found |= layer_parts(node, qgraph)
    return found


def layer_parts(layer, qgraph):
    found = {f"{len(layer.terms)} terms"}
    if layer.multiplier is not None:
        found.add("multiplier")
    channels = len(layer.bias)
    if channels > 1 and len(layer.shift) == channels:
        found.add("per channel")
    for term in layer.terms:
        top, left, bottom, right = term.window.padding
        found |= {f"anchor {term.anchor}", f"{term.bits} bit weights", f"step {term.step}"}
        found.add(f"{qgraph.tensors[layer.name].bits} bit activations")
        found |= {f"{size}-tap" for size in term.codes.shape[2:]}
        for name, present in {
            "groups": term.groups > 1,
            "stride": term.window.stride != (1, 1),
            "dilation": term.window.dilation != (1, 1),
            "padding": term.window.padded,
            "asymmetric": (top, left) != (bottom, right),
            "mask": term.mask is not None,
            "identity": term.codes.shape[2:] == (1, 1)
            and len(term.codes) > 1
            and np.array_equal(term.codes[:, :, 0, 0], np.eye(len(term.codes))),
        }.items():
            if present:
                found.add(name)
    return found


def test_everything_occurs_by_default():
    expected = {
        "concat",
        "pool",
        "overlapping pool",
        "padded pool",
        "1 terms",
        "2 terms",
        "per channel",
        "groups",
    }
    expected |= {
        "stride",
        "dilation",
        "padding",
        "asymmetric",
        "mask",
        "identity",
        "anchor min",
        "anchor max",
    }
    expected |= {f"{bits} bit {kind}" for bits in range(2, 9) for kind in ("weights", "activations")}
    expected |= {"1-tap", "2-tap", "3-tap", "5-tap", "multiplier"}
    assert expected <= parts(Features(multiplier=True))


def test_nothing_occurs_that_is_off():
    found = {
        part
        for part in parts(replace(PLAIN, weight_bits=(8, 8), activation_bits=(8, 8)))
        if "tap" not in part
    }
    expected = {"pool", "1 terms", "padding", "anchor min", "step 1", "8 bit weights", "8 bit activations"}
    assert found == expected


@pytest.mark.parametrize(
    ("off", "part"),
    [
        ({"strides": False}, "stride"),
        ({"dilation": False}, "dilation"),
        ({"asymmetric_padding": False}, "asymmetric"),
        ({"groups": False, "depthwise": False}, "groups"),
        ({"per_channel": False}, "per channel"),
        ({"anchors": ("max",)}, "anchor min"),
        ({}, "step 2"),
        ({"steps": (2,), "residual": False}, "step 1"),
        ({"multiplier": False}, "multiplier"),
        ({"zero_blocks": 0.0}, "mask"),
        ({"pools": ("plain",)}, "overlapping pool"),
        ({"residual": False}, "2 terms"),
        ({"concat": False}, "concat"),
    ],
)
def test_each_feature_can_be_switched_off(off, part):
    # identities have 2 bits, the anchor "min" and step 1
    assert part not in parts(replace(Features(residual="anchors" not in off), **off))


def test_odd_weights_lie_on_both_sides_of_zero_or_beside_it():
    terms = [
        term
        for qgraph in networks(replace(PLAIN, steps=(1, 2), weight_bits=(1, 8), anchors=("min", "max")), 60)
        for node in qgraph.nodes
        if isinstance(node, Layer)
        for term in node.terms
    ]
    assert {term.step for term in terms} == {1, 2}
    assert {(term.bits, term.anchor) for term in terms if term.step == 2} >= {
        (1, "min"),
        (1, "max"),
        (8, "max"),
    }
    for term in terms:
        if term.step == 2:
            assert (term.weight % 2 == 1).all()
            assert all(low <= 1 and high >= -1 for low, high in zip(*term.coding.limits))


def test_a_seed_always_gives_the_same_network(tmp_path):
    for name in "ab":
        hwq.save(random_qgraph(np.random.default_rng(4)), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_whole_blocks_are_pruned():
    features = replace(PLAIN, zero_blocks=0.5, block=(4, 2), channels=(6, 8), kernels=(3,))
    seen = 0
    for qgraph in networks(features, 30):
        for layer in qgraph.nodes:
            if not isinstance(layer, Layer) or layer.terms[0].mask is None:
                continue
            mask = layer.terms[0].mask
            blocks = mask[::2, ::4].repeat(2, axis=0)[: len(mask)].repeat(4, axis=1)[:, : mask.shape[1]]
            np.testing.assert_array_equal(mask, blocks)
            assert not layer.terms[0].weight[~mask].any()
            seen += 1
    assert seen > 10


def test_values_fill_their_bits_and_depend_on_the_input():
    """With 8 bits, the outputs of most networks take many values and are far from saturated."""
    features = Features(activation_bits=(8, 8), weight_bits=(4, 8), channels=(3, 8), zero_blocks=0.2)
    different, saturated = [], []
    for seed, qgraph in enumerate(networks(features, 60)):
        q = random_images(np.random.default_rng(seed), qgraph, 50)
        for name, value in run(qgraph, q, [n.name for n in qgraph.nodes if isinstance(n, Layer)]).items():
            different.append(len(np.unique(value)))
            saturated.append(np.isin(value, qgraph.tensors[name].limits).mean())
    assert np.median(different) > 80
    assert np.median(saturated) < 0.2
    assert np.mean(np.array(different) == 1) < 0.02
