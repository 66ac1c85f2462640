"""Method 1 (CN112085154A / US 12,008,467) claim by claim, in whole networks; ``test_weights`` has single weights."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS, build
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant import golden
from hwquant.advice import of_options
from hwquant.graph import Conv
from hwquant.qgraph import Layer
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.quantize.fuse import plan_layers

ANCHORS, ROUNDINGS = ("min", "max"), ("round", "truncate")


def weighted_terms(graph, qgraph):
    """The float weights and the integer term of every convolution."""
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    for layer in plan_layers(graph).layers:
        for plan, term in zip(layer.terms, layers[layer.name].terms):
            if plan.has_weights:
                yield plan.weight, term


def published(weight, bits, anchor, rounding):
    """Scale, offset and unsigned codes as the publication has them."""
    low, high = weight.min(), weight.max()
    scale = (high - low) / (2**bits - 1)
    extreme, steps = (low, (weight - low) / scale) if anchor == "min" else (high, (high - weight) / scale)
    offset = np.trunc(extreme / scale) if rounding == "truncate" else np.floor(extreme / scale + 0.5)
    return scale, int(offset), np.floor(steps + 0.5).astype(int)


# --- claims 1 to 5


@pytest.mark.parametrize("anchor", ANCHORS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize(("kind", "bits"), [("chain", 8), ("residual", 8), ("depthwise", 3)])
def test_claims_1_and_5_scale_offset_and_codes_of_a_network_are_the_published_ones(
    samples, kind, bits, anchor, rounding
):
    graph = build(kind, 3)
    qgraph = quantize(
        graph,
        samples[:8],
        bits=bits,
        anchor=anchor,
        rounding=rounding,
        literal_range=True,
        scales="multiplier",
        error_compensation=False,
    )
    checked = 0
    for weight, term in weighted_terms(graph, qgraph):
        scale, offset, codes = published(weight, bits, anchor, rounding)
        if term.scale.tolist() != [scale]:
            continue  # beside an identity, whose accumulator it shares
        half = 2 ** (bits - 1)
        assert term.offset.tolist() == [offset + half if anchor == "min" else offset - half]
        assert np.array_equal(term.codes.astype(int) + half, codes)
        checked += 1
    assert checked >= 2


@pytest.mark.parametrize("anchor", ANCHORS)
def test_claim_1_with_shifts_alone_the_scale_is_less_than_twice_the_published_one(samples, anchor):
    """The least one that leaves a shift between layers; the offset is that of this scale."""
    for kind in ("chain", "depthwise"):
        graph = build(kind, 3)
        qgraph = quantize(graph, samples[:4], bits=5, anchor=anchor, literal_range=True)
        for weight, term in weighted_terms(graph, qgraph):
            ideal, _, _ = published(weight, 5, anchor, "round")
            (scale,) = term.scale.tolist()
            assert ideal * (1 - 1e-9) <= scale < 2 * ideal
            extreme, half = (weight.min(), 16) if anchor == "min" else (weight.max(), -16)
            assert term.offset.tolist() == [np.floor(extreme / scale + 0.5) + half]


@pytest.mark.parametrize(("anchor", "sign"), [("min", 1), ("max", -1)])
def test_claims_3_and_4_what_multiplies_is_the_code_adjusted_by_the_offset(samples, anchor, sign):
    qgraph = quantize(build("chain", 0), samples[:8], anchor=anchor)
    q = golden.quantize_input(qgraph, samples[:2])
    (term,) = qgraph.nodes[0].terms
    assert np.array_equal(term.weight, term.offset + sign * term.codes.astype(np.int64))
    layer = qgraph.nodes[0]
    x = q["x"] - qgraph.tensors["x"].zero_point
    middle = x[:, :, 1:4, 1:4]  # what the kernel sees at pixel (2, 2), without any padding
    acc = np.einsum("ocij,ncij->no", term.offset + sign * term.codes.astype(np.int64), middle) + layer.bias
    y = ((acc + ((1 << layer.shift) >> 1)) >> layer.shift) + qgraph.tensors[layer.name].zero_point
    got = golden.run(qgraph, q, keep=[layer.name])[layer.name][:, :, 2, 2]
    assert np.array_equal(got, np.clip(y, layer.low, layer.high))


# --- claims 6 and 7: scales over several layers

OPTIONS = [
    {},
    {"anchor": "max", "rounding": "truncate", "bits": 4},
    {"literal_range": True},
    {"per_channel": True, "symmetric": True},
    {"per_channel": True, "literal_range": True, "anchor": "max"},
    {"scales": "power_of_two", "per_channel": True},
    {"scales": "power_of_two", "symmetric": True, "bits": 5},
    {"error_compensation": True, "calibration_method": "minmax", "activation_bits": 6},
    {"chain_bits": 24},
    {"chain_bits": 16, "bits": 4, "activation_bits": 5, "per_channel": True},
    {"chain_bits": 24, "scales": "power_of_two"},
]


def paths(qgraph):
    """Every way from an input to an output: layers with the index of the term through which it leads."""
    nodes = {node.name: node for node in qgraph.nodes}

    def back(name):
        if name not in nodes:
            return [((), name)]
        node, found = nodes[name], []
        for index, source in enumerate(node.inputs):
            step = ((node, index),) if isinstance(node, Layer) else ()
            found += [((*way, *step), start) for way, start in back(source)]
        return found

    return [(way, start, output.tensor) for output in qgraph.outputs for way, start in back(output.tensor)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["residual", "concat", "depthwise"])
def test_claims_6_and_7_scales_of_consecutive_layers_multiply_to_that_of_the_end(samples, kind, options):
    """``S_x * prod(S_w) * 2^(sum of shifts) = S_out``, in rational numbers, on every way through the network."""
    qgraph = quantize(build(kind, 1), samples[:4], **options)
    for way, start, end in paths(qgraph):
        for channel in (0, -1):
            product, shifts = Fraction(qgraph.tensors[start].scale), 0
            for layer, index in way:
                assert layer.multiplier is None
                term = layer.terms[index]
                product *= Fraction(float(np.broadcast_to(term.scale, len(layer.bias))[channel]))
                shifts += int(np.broadcast_to(layer.shift, len(layer.bias))[channel]) - term.shift
            ratio = product * Fraction(2) ** shifts / Fraction(qgraph.tensors[end].scale)
            # A scale that is stored as a float is rounded once; one that is a power of two is exact.
            exact = options.get("scales") == "power_of_two"
            assert abs(ratio - 1) <= (0 if exact else len(way) * Fraction(2) ** -52), (kind, options)


# --- what has no code: zeros, and offsets that do not fit

choices = st.fixed_dictionaries(
    {
        "bits": st.integers(2, 8),
        "per_channel": st.booleans(),
        "anchor": st.sampled_from(ANCHORS),
        "rounding": st.sampled_from(ROUNDINGS),
        "range": st.sampled_from(["stretched", "literal", "symmetric"]),
        "scales": st.sampled_from(["shift", "power_of_two", "multiplier"]),
        "error_compensation": st.booleans(),
        "chain_bits": st.sampled_from([None, 12, 24]),
    }
)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(choices, st.sampled_from(KINDS), st.integers(0, 1 << 16))
def test_a_pruned_weight_is_exactly_zero_whatever_is_asked_for(chosen, kind, seed):
    rng = np.random.default_rng(seed)
    one_sided = rng.choice([0.0, 1.0])  # weights of mostly one sign, whose literal range begins far from 0

    def prune(node):
        kept = (rng.random((*node.weight.shape[:2], 1, 1)) < 0.6) & (rng.random(node.weight.shape) < 0.9)
        return replace(node, weight=(node.weight + one_sided * np.abs(node.weight).max()) * kept)

    graph = build(kind, 2)
    graph = replace(graph, nodes=tuple(prune(n) if isinstance(n, Conv) else n for n in graph.nodes))
    chosen = dict(chosen)
    kind_of_range = chosen.pop("range")
    options = QuantizeOptions(
        symmetric=kind_of_range == "symmetric", literal_range=kind_of_range == "literal", **chosen
    )
    qgraph = quantize(graph, rng.normal(0.2, 1, (4, 3, 8, 8)), options)
    for weight, term in weighted_terms(graph, qgraph):
        zero = weight == 0
        assert not term.weight[zero].any()
        assert zero.any() == (term.mask is not None)
        assert term.mask is None or np.array_equal(~term.mask, zero)


def test_channels_whose_literal_offset_does_not_fit_are_counted_and_reported(samples):
    graph = build("chain", 1)

    def shift(node):
        if node.name != "c2":
            return node
        weight = node.weight.copy()
        weight[:2] = weight[:2] * 0.01 + 1  # far from 0 for their range: 100 times their scale and more
        return replace(node, weight=weight)

    graph = replace(
        graph, nodes=tuple(shift(node) if isinstance(node, Conv) else node for node in graph.nodes)
    )
    qgraph = quantize(graph, samples[:8], per_channel=True, literal_range=True)
    terms = {name: layer["terms"][0] for name, layer in qgraph.options["layers"].items()}
    assert terms["last"]["stretched_channels"] == 2
    assert terms["r1"]["stretched_channels"] == 0
    (found,) = (item for item in of_options(qgraph.options) if item.kind == "stretched_range")
    assert (found.where, found.option, found.value) == ("last", "--per-channel", 2 / 6)
    assert found.message.startswith("2 of 6 channels of 'c2' take the range stretched to contain 0")
    for other in ({"literal_range": True}, {"per_channel": True}):
        qgraph = quantize(graph, samples[:8], **other)
        assert "stretched_range" not in {item.kind for item in of_options(qgraph.options)}
