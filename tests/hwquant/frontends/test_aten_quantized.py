"""Programs of quantized_decomposed operators come in with their integers, and torch is the oracle."""

import numpy as np
import pytest
import torch
from hwquant_testing.pt2e_modules import EveryLayer, Weight, around, exported, ops
from hwquant_testing.torch_modules import Lambda
from torch import nn

from hwquant import floating, golden
from hwquant.agreement import compare
from hwquant.errors import HwquantError
from hwquant.frontends import from_exported, from_torch, load_model, with_source
from hwquant.frontends.aten import translate
from hwquant.frontends.aten_program import AtenInput, AtenNode, AtenProgram, Reference
from hwquant.frontends.same import same_graph
from hwquant.quantize import quantize

INT8 = -128, 127, torch.int8
SHAPE = (4, 2, 8, 8)


def samples(count=16, seed=1):
    return np.random.default_rng(seed).uniform(-4, 4, (count, *SHAPE[1:])).astype(np.float32)


def graph_of(function, *layers, shape=SHAPE):
    """The network of a function of x and layers; the host gets no part."""
    return from_exported(exported(Lambda(function, *layers), shape), host=False)


def pair(x, scale=0.03, zero=5):
    return around(x, (scale, zero, *INT8))


@pytest.mark.parametrize(
    ("seed", "options"),
    [
        (0, {}),
        (1, {"dtype": torch.uint8}),
        (2, {"per_channel": False}),
        (3, {"dtype": torch.uint8, "stored": False}),
        (4, {"per_channel": False, "stored": False}),
    ],
)
def test_every_layer_is_within_a_step_of_torch(seed, options):
    program = exported(EveryLayer(seed, **options))
    graph = from_exported(program, host=False)
    assert graph.given.lost == ()
    assert len(graph.given.weights) == 4
    found = compare(program, quantize(graph), samples())
    assert len(found.tensors) == 9
    for item in found.tensors:
        assert item.alone <= 1
        assert item.equal > 0.9
    assert found.tensors[-1].largest <= 2


def test_weights_biases_and_formats_are_the_modules_own():
    module = EveryLayer(7, torch.uint8)
    graph = from_exported(exported(module), host=False)
    for node, name in zip((item for item in graph.nodes if item.name in graph.given.weights), module.weights):
        weight = module.weights[name]
        grid = graph.given.weights[node.name]
        assert np.array_equal(grid.integers(node.weight).ravel(), weight.weight.numpy().ravel())
        np.testing.assert_allclose(grid.scale, weight.scale.numpy(), rtol=1e-12)
        assert (grid.least == -128).all()
    scale, zero, *_ = module.forms[0]
    form = graph.given.formats["x"]
    assert (form.scale, form.zero_point, form.bits, form.reach) == (scale, zero - 128, 8, None)
    np.testing.assert_array_equal(graph.nodes[0].bias, module.bias.double().numpy())


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, in run_decompositions()
def test_a_program_a_file_and_a_decomposed_program_are_one_network(tmp_path):
    program = exported(EveryLayer(3))
    torch.export.save(program, tmp_path / "net.pt2")
    graph, decomposed = from_exported(program), from_exported(program.run_decompositions())
    assert same_graph(graph, load_model(tmp_path / "net.pt2"))
    assert [grid.least.tolist() for grid in graph.given.weights.values()] == [
        grid.least.tolist() for grid in decomposed.given.weights.values()
    ]
    found = compare(tmp_path / "net.pt2", quantize(graph), samples())
    assert max(item.alone for item in found.tensors) <= 1
    assert decomposed.given.formats.keys() == graph.given.formats.keys()


def test_a_module_that_export_made_is_read_though_it_has_no_evaluation_mode():
    program = exported(EveryLayer(3))
    module = program.module()
    with pytest.raises(NotImplementedError):
        module.eval()
    assert same_graph(from_torch(module, torch.zeros(SHAPE)), from_exported(program))


@pytest.mark.parametrize(
    ("low", "high", "dtype", "bits", "reach", "zero"),
    [
        (0, 127, torch.uint8, 7, None, -4),
        (-127, 127, torch.int8, 8, (-127, 127), 60),
        (0, 127, torch.int8, 8, (0, 127), 60),
        (-8, 7, torch.int8, 4, None, 2),
        (0, 15, torch.uint8, 4, None, 2),
    ],
)
def test_integers_of_fewer_bits_keep_their_range(low, high, dtype, bits, reach, zero):
    own = zero + (1 << bits - 1 if dtype == torch.uint8 else 0)
    graph = graph_of(lambda x: around(torch.relu(x * 2 - 1), (0.05, own, low, high, dtype)))
    form = graph.given.formats[graph.outputs[0].tensor]
    assert (form.bits, form.reach, form.zero_point) == (bits, reach, zero)
    x = samples()
    qgraph = quantize(graph, x)
    wanted = around(torch.relu(torch.from_numpy(x) * 2 - 1), (0.05, own, low, high, dtype)).numpy()
    (got,) = floating.predict(graph, x)
    assert np.abs(got - wanted).max() <= 0.0251
    assert golden.predict(qgraph, x)[0].min() == pytest.approx(wanted.min())


def test_weights_of_4_bits_in_bytes_have_4_bits():
    rng = torch.Generator().manual_seed(0)
    weight = nn.Buffer(torch.randint(-8, 8, (3, 2, 1, 1), generator=rng, dtype=torch.int8))
    layer = nn.Module()
    layer.weight = weight

    def net(layer, x):
        return pair(
            nn.functional.conv2d(pair(x), ops.dequantize_per_tensor(layer.weight, 0.1, 0, -8, 7, torch.int8))
        )

    (grid,) = graph_of(net, layer).given.weights.values()
    assert (grid.bits, grid.least.tolist()) == (4, [-8, -8, -8])


def test_parameters_may_be_tensors():
    scale, zero = nn.Buffer(torch.tensor(0.03)), nn.Buffer(torch.tensor(5))
    layer = nn.Module()
    layer.scale, layer.zero = scale, zero

    def net(layer, x):
        form = (layer.scale, layer.zero, *INT8)
        return ops.dequantize_per_tensor.tensor(ops.quantize_per_tensor.tensor(x, *form), *form)

    def same(x):
        return around(x, (scale.item(), 5, *INT8))

    assert graph_of(net, layer).given.formats == graph_of(same).given.formats


def test_inputs_and_outputs_may_be_integers():
    rng = torch.Generator().manual_seed(0)

    def net(weight, q):
        x = ops.dequantize_per_tensor(q, 0.03, 5, *INT8)
        return ops.quantize_per_tensor(nn.functional.conv2d(x, weight()), 0.05, -7, *INT8)

    module = Lambda(net, Weight(rng, (3, 2, 3, 3), True))
    x = torch.randint(-128, 128, SHAPE, generator=rng, dtype=torch.int8)
    program = torch.export.export(module, (x,))
    qgraph = quantize(from_exported(program, host=False))
    found = compare(program, qgraph, x.numpy())
    assert [item.alone <= 1 for item in found.tensors] == [True]
    (output,) = golden.predict(qgraph, x.numpy())
    with torch.no_grad():
        wanted = 0.05 * (module(x).numpy().astype(np.float64) + 7)
    assert np.abs(output - wanted).max() <= 0.0501


def test_weights_that_lose_their_integers_are_named():
    rng = torch.Generator().manual_seed(0)

    def net(first, second, x):
        moved = second().permute(1, 0, 2, 3).permute(1, 0, 2, 3).reshape(3, 2, 3, 3)
        y = pair(nn.functional.conv2d(pair(x), first() * torch.arange(1, 10).reshape(3, 3)))
        return pair(nn.functional.conv2d(y[:, :2], moved))

    layers = [Weight(rng, (3, 2, 3, 3), True) for _ in range(2)]
    given = graph_of(net, *layers).given
    assert (given.lost, list(given.weights)) == (("conv2d",), ["conv2d_1"])


def test_a_part_of_the_host_goes_by_way_of_onnx():
    weight = Weight(torch.Generator().manual_seed(0), (3, 2, 3, 3), True)

    def net(layer, x):
        y = pair(nn.functional.conv2d(pair(x), layer(), padding=1), 0.04)
        return nn.functional.layer_norm(y, (8,))

    program = exported(Lambda(net, weight))
    graph, model = with_source(program)
    assert [node.op_type for node in model.graph.node][-1] == "LayerNormalization"
    assert graph.host is not None
    assert (len(graph.given.weights), graph.given.lost) == (1, ())
    found = compare(program, quantize(graph), samples())
    assert max(item.alone for item in found.tensors) <= 1


def dynamic(x):
    scale, zero = ops.choose_qparams.tensor(x, -128, 127, 1e-5, torch.int8)
    form = (scale, zero, *INT8)
    return ops.dequantize_per_tensor.tensor(ops.quantize_per_tensor.tensor(x, *form), *form)


def each_channel(x):
    scale, zero = torch.tensor([0.1, 0.2]), torch.tensor([0, 0])
    form = (scale, zero, 1, *INT8)
    return ops.dequantize_per_channel(ops.quantize_per_channel(x, *form), *form)


def integers_apart(x):
    return ops.dequantize_per_tensor(ops.quantize_per_tensor(x, 0.1, 0, *INT8), 0.2, 0, *INT8)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (dynamic, r"choose_qparams.*its scales are those of the sample at hand; quantize with fixed ones"),
        (each_channel, r"its activations have 2 scales along an axis; give each tensor one scale"),
        (integers_apart, r"takes integers for multiples of 0.2 from 0 .* multiples of 0.1 from 0"),
        (
            lambda x: around(x, (0.1, 0, -(1 << 15), (1 << 15) - 1, torch.int16)),
            r"its activations are int16, of 16 bits; those of the array have at most 8",
        ),
        (lambda x: around(x, (0.1, 3, -128, 0, torch.int8)), r"from -128 to 0 have none that stands for 0"),
        (
            lambda x: ops.quantize_per_tensor(x, 0.1, 0, *INT8).float(),
            r"dequantize them before",
        ),
        (
            lambda x: torch.relu(ops.quantize_per_tensor(x, 0.1, 0, *INT8)),
            r"is int8 here, an integer; cast it to float before arithmetic",
        ),
    ],
)
def test_what_the_array_has_no_integers_for_is_refused(function, message):
    with pytest.raises(HwquantError, match=message):
        graph_of(function)


def crafted(first, second, weight):
    """A program that torch has not checked: a pair, and a convolution with a weight."""
    form = {"scale": 0.1, "zero_point": 0, "quant_min": -128, "quant_max": 127, "dtype": "int8"}
    channels = {"scales": Reference("s"), "zero_points": Reference("z"), "axis": 0}
    limits = {"quant_min": -128, "quant_max": 127, "dtype": "int8"}
    calls = [
        ("q", "quantize_per_tensor", {"input": Reference("x"), **form, **first}),
        ("d", "dequantize_per_tensor", {"input": Reference("q"), **form, **second}),
        ("v", "dequantize_per_channel", {"input": Reference("w"), **channels, **limits, **weight}),
    ]
    nodes = [AtenNode(name, f"quantized_decomposed.{kind}", given, (name,)) for name, kind, given in calls]
    nodes.append(AtenNode("c", "conv2d", {"input": Reference("d"), "weight": Reference("v")}, ("c",)))
    constants = {
        "w": np.arange(24, dtype=np.int8).reshape(3, 2, 2, 2),
        "s": np.float32([0.1, 0.2, 0.3]),
        "z": np.zeros(3, np.int64),
        "one": np.float32([0.1]),
        "negative": np.float32([0.1, -1, 0.3]),
        "nan": np.float32([0.1, np.nan, 0.3]),
        "square": np.float32([[0.1, 0.2, 0.3]]),
        "half": np.float32([0, 0.5, 0]),
        "far": np.int64([0, 1 << 40, 0]),
    }
    return AtenProgram("p", (AtenInput("x", (2, 2, 4, 4), "float32"),), constants, tuple(nodes), ("c",))


@pytest.mark.parametrize(
    ("first", "second", "weight", "message"),
    [
        ({"scale": 0.0}, {}, {}, r"'q'.*its scale is 0, which must be positive"),
        ({"scale": float("nan")}, {}, {}, r"'q'.*'scale' contains NaN"),
        ({"zero_point": 1 << 62}, {}, {}, r"'q'.*its zero point is no integer of 32 bits"),
        ({"quant_min": 127}, {}, {}, r"'q'.*its integers from 127 to 127 are not a range of int8"),
        ({"dtype": "uint8"}, {}, {}, r"'q'.*its integers from -128 to 127 are not a range of uint8"),
        ({"dtype": "float16"}, {}, {}, r"'q'.*its integers are float16; quantize activations and weights"),
        ({"input": Reference("w")}, {}, {}, r"'q'.*it quantizes int8; only real numbers can be"),
        ({}, {"dtype": "uint8"}, {}, r"'d'.*it takes int8 for uint8; quantize and dequantize with one type"),
        ({}, {"out_dtype": "float16"}, {}, r"'d'.*it gives float16, whose rounding is not reproduced"),
        ({}, {}, {"scales": Reference("one")}, r"'v'.*its zero point has shape \(3,\), its scale \(1,\)"),
        ({}, {}, {"scales": Reference("negative")}, r"'v'.*its scale is -1, which must be positive"),
        ({}, {}, {"scales": Reference("nan")}, r"'v'.*'nan' contains NaN"),
        (
            {},
            {},
            {"scales": Reference("square")},
            r"'v'.*its scale has shape \(1, 3\), not one number or one",
        ),
        ({}, {}, {"scales": Reference("x")}, r"'v'.*is computed from the network's input"),
        ({}, {}, {"zero_points": Reference("half")}, r"'v'.*its zero point is no integer"),
        ({}, {}, {"zero_points": Reference("far")}, r"'v'.*its zero point is no integer of 32 bits"),
        ({}, {}, {"axis": 1}, r"'v'.*it has 3 scales along axis 1 of a constant of shape \(3, 2, 2, 2\)"),
        ({}, {}, {"axis": -5}, r"'v'.*its scales are along axis -5 of 4"),
    ],
)
def test_crafted_parameters_are_refused_by_name(first, second, weight, message):
    assert translate(crafted({}, {}, {})).given.lost == ()
    with pytest.raises(HwquantError, match=message):
        translate(crafted(first, second, weight))
