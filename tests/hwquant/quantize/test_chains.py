"""Claim 7 of CN112085154A literally: layers that hand on their sums, and one product of scales at the end."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS, build, conv

import hwquant
from hwquant import container, golden
from hwquant.advice import of_options
from hwquant.cli.tables import chain_lines
from hwquant.errors import DoesNotFit, HwquantError
from hwquant.graph import AveragePool, Clip, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.program import storage
from hwquant.qgraph import Layer
from hwquant.quantize import quantize
from hwquant.quantize.chains import hands_on_sums
from hwquant.ranges import tensor_ranges
from hwquant.validate import validate
from hwquant.window import Window


def line(seed=0, channels=(2, 3, 2, 3), size=5, top=np.inf):
    """Convolutions with ReLU and a max pool between them, one behind the other."""
    rng = np.random.default_rng(seed)
    nodes, source = [], "x"
    for index, pair in enumerate(pairwise(channels)):
        nodes += [conv(rng, f"c{index}", source, pair), Clip(f"r{index}", (f"c{index}",), 0.0, top)]
        source = f"r{index}"
        if index == 0:
            nodes.append(MaxPool("pool", (source,), Window((2, 2), (2, 2))))
            source = "pool"
    shape = (channels[0], size, size)
    end = (channels[-1], size // 2, size // 2)
    return Graph("line", (Input("x", shape, shape),), tuple(nodes), (Output("y", source, end),))


def data(graph, count=16):
    return np.random.default_rng(5).normal(0.2, 1, (count, *graph.inputs[0].shape))


def layers(qgraph):
    return {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}


def test_between_layers_of_a_chain_there_is_nothing_but_the_clamp_at_zero():
    graph = line()
    qgraph = quantize(graph, data(graph), bits=3, activation_bits=3, chain_bits=24)
    validate(qgraph)
    (chain,) = qgraph.options["chains"]
    assert chain["layers"] == ["r0", "r1", "r2"]
    assert chain["shift"] is None
    values = golden.run(qgraph, golden.quantize_input(qgraph, data(graph)), keep=list(qgraph.tensors))
    for layer in layers(qgraph).values():
        (term,) = layer.terms
        assert not layer.shift.any()
        assert layer.multiplier is None
        assert layer.low == 0
        assert qgraph.tensors[layer.name].zero_point == 0
        x = values[term.input] - qgraph.tensors[term.input].zero_point
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        sums = np.einsum("ocij,nchwij->nohw", term.weight, windows) + layer.bias.reshape(1, -1, 1, 1)
        assert np.array_equal(values[layer.name], np.maximum(sums, 0))
    product = qgraph.tensors["x"].scale
    for layer in layers(qgraph).values():
        product *= layer.terms[0].scale[0]
    assert chain["scale"] == [pytest.approx(product, rel=1e-15)]
    assert qgraph.tensors["r2"].scale == pytest.approx(product, rel=1e-15)
    assert np.array_equal(golden.predict(qgraph, data(graph))[0], qgraph.tensors["r2"].scale * values["r2"])


def test_a_scale_is_that_of_the_weights_alone_to_the_letter():
    graph = line()
    qgraph = quantize(graph, data(graph), bits=3, activation_bits=3, chain_bits=24, literal_range=True)
    for node in (node for node in graph.nodes if isinstance(node, Conv)):
        (term,) = layers(qgraph)[f"r{node.name[1:]}"].terms
        assert term.scale.tolist() == [(node.weight.max() - node.weight.min()) / 7]


def test_the_proven_range_decides_how_far_a_chain_goes():
    """A layer hands on its sums in as many bits as they need, and rescales with one less."""
    graph = line()

    def chain(bits):
        qgraph = quantize(graph, data(graph), bits=4, activation_bits=4, chain_bits=bits)
        on = {name for name, layer in layers(qgraph).items() if hands_on_sums(layer, qgraph)}
        ended = [(item["layers"], item["shift"] is None) for item in qgraph.options["chains"]]
        advice = {item.kind for item in of_options(qgraph.options)}
        return on, ended, {name: qgraph.tensors[name].bits for name in layers(qgraph)}, advice

    on, ended, widths, advice = chain(24)
    assert (on, ended) == ({"r0", "r1", "r2"}, [(["r0", "r1", "r2"], True)])
    assert "no_chain" not in advice
    assert 4 < widths["r0"] < widths["r1"] < widths["r2"]
    on, ended, _, _ = chain(widths["r2"] - 1)
    assert (on, ended) == ({"r0", "r1"}, [(["r0", "r1", "r2"], False)])
    on, ended, _, _ = chain(widths["r1"] - 1)
    assert ended[0] == (["r0", "r1"], False)
    assert "r1" not in on
    on, ended, narrow, advice = chain(4)
    assert (on, ended, set(narrow.values())) == (set(), [], {4})
    assert "no_chain" in advice


def test_the_proven_range_is_one_that_inputs_reach():
    """Of a layer that sees its whole input at once; no narrower width would do."""
    rng = np.random.default_rng(0)
    node = Conv("fc", ("x",), rng.normal(size=(1, 6, 1, 1)), rng.normal(size=1), Window((1, 1)))
    shape = (6, 1, 1)
    graph = Graph("one", (Input("x", shape, shape),), (node,), (Output("y", "fc", (1, 1, 1)),))
    qgraph = quantize(graph, data(graph), bits=5, activation_bits=3, chain_bits=24)
    (layer,) = qgraph.nodes
    low, high = qgraph.tensors["x"].limits
    up = layer.terms[0].weight > 0
    ends = [np.where(up, *pair).reshape(1, *shape) for pair in ((low, high), (high, low))]
    got = [golden.run(qgraph, {"x": end})["fc"].item() for end in ends]
    assert got == [layer.low, layer.high]
    assert tensor_ranges(qgraph)["fc"] == (layer.low, layer.high)
    limits = qgraph.tensors["fc"].limits
    assert limits[0] // 2 > layer.low or limits[1] // 2 < layer.high


def test_a_layer_whose_weights_are_nothing_beside_its_bias_rescales():
    graph = line()
    tiny = tuple(replace(n, weight=n.weight * 1e-30) if n.name == "c0" else n for n in graph.nodes)
    qgraph = quantize(replace(graph, nodes=tiny), data(graph), bits=3, activation_bits=3, chain_bits=24)
    validate(qgraph)
    assert qgraph.tensors["r0"].bits == 3
    zero = tuple(replace(n, weight=n.weight * 0) if n.name == "c0" else n for n in graph.nodes)
    validate(quantize(replace(graph, nodes=zero), data(graph), chain_bits=24))


@pytest.mark.parametrize("anchor", ["min", "max"])
def test_channels_of_either_sign_that_one_scale_of_a_bit_cannot_hold_are_rescaled(anchor):
    graph = line()
    signs = np.array([1.0, -1.0, 1.0]).reshape(-1, 1, 1, 1)
    nodes = tuple(replace(n, weight=0 * n.weight + signs) if n.name == "c0" else n for n in graph.nodes)
    options = {"bits": {"c0": 1}, "per_channel": True, "anchor": anchor, "chain_bits": 24}
    qgraph = quantize(replace(graph, nodes=nodes), data(graph), **options)
    validate(qgraph)
    (term,) = layers(qgraph)["r0"].terms
    assert term.scale.size == 3


def test_an_average_is_a_sum_and_its_scale_takes_the_division():
    shape = (2, 6, 6)
    for kernel, area in ((2, 4), (3, 9)):
        window = Window((kernel, kernel), (kernel, kernel))
        pool = AveragePool("mean", ("x",), window, True)
        out = (2, 6 // kernel, 6 // kernel)
        graph = Graph("mean", (Input("x", shape, shape),), (pool,), (Output("y", "mean", out),))
        qgraph = quantize(graph, data(graph), chain_bits=16)
        (layer,) = qgraph.nodes
        assert (layer.terms[0].weight == 1).all()
        assert layer.terms[0].scale.tolist() == [1 / area]


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_ends_where_terms_are_added_or_joined(samples, kind):
    qgraph = quantize(build(kind, 1), samples[:4], chain_bits=24)
    wide = {name for name, tensor in qgraph.tensors.items() if tensor.bits > 8}
    assert wide
    for node in qgraph.nodes:
        alone = isinstance(node, MaxPool) or (isinstance(node, Layer) and len(node.terms) == 1)
        assert alone or wide.isdisjoint({*node.inputs, node.name})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"chain_bits": 24},
        {"chain_bits": 20, "scales": "multiplier", "per_channel": True, "error_compensation": True},
        {"chain_bits": 14, "bits": 4, "activation_bits": 4, "anchor": "max", "literal_range": True},
    ],
    ids=str,
)
def test_reference_fast_path_and_export_give_the_same_integers(samples, kind, options):
    ort = pytest.importorskip("onnxruntime")
    from hwquant.export import to_onnx

    qgraph = quantize(build(kind, 1), samples[:8], **options)
    validate(qgraph)
    q, names = golden.quantize_input(qgraph, samples), list(qgraph.tensors)
    exact, fast = (golden.run(qgraph, q, keep=names, exact=way) for way in (True, False))
    session = ort.InferenceSession(to_onnx(qgraph, layers=True).SerializeToString())
    found = [output.name for output in session.get_outputs()]
    exported = dict(zip(found, session.run(None, {"x": samples.astype(np.float32)})))
    single = golden.run(qgraph, golden.quantize_input(qgraph, samples.astype(np.float32)), keep=names)
    ranges = tensor_ranges(qgraph)
    for name in names:
        assert np.array_equal(exact[name], fast[name])
        assert np.array_equal(exported[f"{name}/q"], single[name])
        assert ranges[name][0] <= exact[name].min() <= exact[name].max() <= ranges[name][1]
    # Where nobody asks for what is between, pools are taken on sums.
    for name, value in golden.run(qgraph, q).items():
        assert np.array_equal(value, exact[name])


def test_a_chain_runs_in_hardware(tmp_path):
    graph = line(size=4)
    qgraph = quantize(graph, data(graph), bits=4, activation_bits=4, chain_bits=24)
    hwquant.save_network(qgraph, tmp_path / "net.hwq")
    qgraph = hwquant.load_network(tmp_path / "net.hwq")
    program = hwquant.compile_network(qgraph, (2, 2))
    assert program.config.activation_bits == max(tensor.bits for tensor in qgraph.tensors.values()) > 16
    storage.save(program, tmp_path / "program.hwp")
    with pytest.raises(
        HwquantError,
        match=r"has format version 6, this hwquant reads up to 1; update hwquant",
    ):
        container.read(tmp_path / "program.hwp", storage.KIND, 1)
    program = storage.load(tmp_path / "program.hwp")
    q = golden.quantize_input(qgraph, data(graph, 1))
    result = hwquant.verify(program, qgraph, q, watch=1, simulator="amaranth")
    assert result.mismatches == 0, result.first


def test_accumulators_that_no_array_has_are_refused_by_the_layer_and_say_what_to_do():
    graph = line(channels=(32, 32, 32, 32), size=4)
    scaled = tuple(
        replace(node, bias=node.bias * 1e4) if isinstance(node, Conv) else node for node in graph.nodes
    )
    qgraph = quantize(replace(graph, nodes=scaled), data(graph), chain_bits=24)
    with pytest.raises(
        DoesNotFit, match=r"accumulator_bits .* it would fit with wider accumulators, or fewer"
    ):
        hwquant.compile_network(qgraph, (2, 2), limits={"accumulator_bits": 24})


def test_lanes_that_hardware_does_not_have_are_refused_by_width():
    graph = line(size=4)
    ordinary = quantize(graph, data(graph))
    config = hwquant.compile_network(ordinary, (2, 2)).config
    qgraph = quantize(graph, data(graph), chain_bits=20)
    with pytest.raises(DoesNotFit, match=r"the network needs activation_bits .*, the hardware has 8"):
        hwquant.compile_network(qgraph, (2, 2), config=config)


def test_without_the_option_nothing_is_said_of_chains(samples):
    qgraph = quantize(build("chain", 1), samples[:4])
    assert "chains" not in qgraph.options
    assert {tensor.bits for tensor in qgraph.tensors.values()} == {8}


def test_people_read_which_layers_and_how_wide():
    graph = line()
    qgraph = quantize(graph, data(graph), bits=3, activation_bits=3, chain_bits=24)
    (text,) = chain_lines(qgraph.options["chains"])
    assert text.startswith("no rescaling in r0 -> r1 -> r2: sums of ")
    assert text.endswith("is applied once, at the output")
