"""Functions of one variable: every activation of torch and ONNX, in each form in which exporters write it."""

import warnings

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from onnx import helper
from torch import nn

from hwquant import floating
from hwquant.errors import Unsupported
from hwquant.export import float_to_onnx
from hwquant.frontends import from_exported, load_model
from hwquant.frontends.onnx_pointwise import POINTWISE
from hwquant.frontends.onnx_reader import read_onnx
from hwquant.graph import Clip, Conv, Function

SAMPLES = np.random.default_rng(5).normal(0, 3, (4, 4, 3, 5)).astype(np.float32)
ACTIVATIONS = [
    *(nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.GELU("tanh")),
    *(nn.ELU(), nn.ELU(0.5), nn.SELU(), nn.CELU(0.7), nn.Mish(), nn.Softplus(), nn.Softplus(2.0)),
    *(nn.Softsign(), nn.LeakyReLU(0.1), nn.PReLU(), nn.LogSigmoid(), nn.Hardshrink()),
    *(nn.Softshrink(), nn.Tanhshrink()),
]
WRITTEN = {
    "silu": lambda x: x * torch.sigmoid(x),
    "hard swish": lambda x: x * torch.clip(x + 3, 0, 6) / 6,
    "hard swish of relu6": lambda x: x * (nn.functional.relu6(x + 3.0) * (1 / 6)),
    "gelu by erf": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "gelu by tanh": lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3)))),
    "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "square": lambda x: x * x - x**2 / 2,
    "mish": lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))),
    "reciprocal": lambda x: 1 / (1 + x.abs()) + torch.reciprocal(2 + x * x),
    "roots": lambda x: torch.sqrt(x.abs()) + torch.rsqrt(1 + x.square()),
    "power of a number": lambda x: torch.pow(2.0, -x.abs()) + x,
    "waves": lambda x: torch.sin(x) + torch.cos(2 * x) * torch.atan(x),
    "steps": lambda x: torch.floor(x) + torch.sign(x) * torch.ceil(x) - torch.round(x),
    "choice": lambda x: torch.where(x > 0.5, torch.exp(-x), torch.where(x <= -0.5, x, x * x)),
    "leaky": lambda x: torch.where(x >= 0, x, 0.2 * x),
    "mask": lambda x: x * (x > 0.25),
    "of both": lambda x: torch.maximum(torch.tanh(x), 0.1 * x) + torch.minimum(x, torch.exp(x)),
    "logarithms": lambda x: torch.log1p(torch.relu(x)) - torch.log2(1 + x.abs()),
}
FUNCTIONS = [*ACTIVATIONS, *WRITTEN.values()]


class Network(nn.Module):
    """All activations, each between a layer of its own and a scale."""

    def __init__(self):
        super().__init__()
        self.activations = nn.ModuleList(ACTIVATIONS)
        self.layers = nn.ModuleList(nn.Conv2d(4, 1, 1) for _ in FUNCTIONS)

    def forward(self, x):
        functions = [*self.activations, *WRITTEN.values()]
        return tuple(2 * function(layer(x)) for layer, function in zip(self.layers, functions))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return Network().eval()


def imported(network, form, folder):
    """The float network of what a user saves of a module in one of the forms."""
    x = (torch.from_numpy(SAMPLES),)
    if form in ("script", "dynamo"):
        path = folder / "model.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, x, path, dynamo=form == "dynamo", verbose=False)
        return load_model(path)
    program = torch.export.export(network, x, strict=False)
    if form == "decomposed":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = program.run_decompositions()
    return from_exported(program)


@pytest.mark.parametrize("form", ["export", "decomposed", "script", "dynamo"])
def test_every_activation_is_one_function_in_every_form(form, network, tmp_path):
    graph = imported(network, form, tmp_path)
    with torch.no_grad():
        expected = network(torch.from_numpy(SAMPLES))
    for number, (got, want) in enumerate(zip(floating.predict(graph, SAMPLES), expected, strict=True)):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=2e-5, err_msg=str(FUNCTIONS[number]))
    # A hard sigmoid that is spelled out is a clip, and of a clip there a layer remains to scale it.
    clips = sum(isinstance(node, Clip) for node in graph.nodes)
    assert clips == 2 * (form == "decomposed")
    assert sum(isinstance(node, Function) for node in graph.nodes) == len(FUNCTIONS) - clips // 2
    assert len(graph.nodes) == 2 * len(FUNCTIONS) + clips


DOMAIN = np.linspace(-4, 4, 81, dtype=np.float32).reshape(1, 1, 1, 81)
"""Where every operator is tried, whether it has a value there or not."""
ALONE = sorted(name for name, operator in POINTWISE.items() if len(operator.inputs) == 1 and name != "Not")


def model(nodes, constants=(), opset=24):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, DOMAIN.shape)],
        [
            helper.make_empty_tensor_value_info(name)
            for name in (node.output[0] for node in nodes if node.name)
        ],
        [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in constants],
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    )


def outputs(made):
    """What the reference of the onnx package gives; onnxruntime does not know the newest operator set."""
    with np.errstate(all="ignore"):
        return onnx.reference.ReferenceEvaluator(made).run(None, {"x": DOMAIN})


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [(name, {}) for name in ALONE]
    + [("Elu", {"alpha": 0.3}), ("Celu", {"alpha": 2.0}), ("Selu", {"alpha": 1.1, "gamma": 0.7})]
    + [("HardSigmoid", {"alpha": 0.4, "beta": 0.3}), ("ThresholdedRelu", {"alpha": 0.5})]
    + [("Shrink", {"lambd": 0.7, "bias": 0.2}), ("Gelu", {"approximate": "tanh"}), ("Swish", {"alpha": 1.5})],
    ids=str,
)
def test_every_operator_on_the_input_itself_is_onnxs(operator, attributes):
    made = model([helper.make_node(operator, ["x"], ["y"], name="f", **attributes)])
    (want,), (got,) = outputs(made), floating.predict(read_onnx(made), DOMAIN)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_choices_and_truth_values_of_one_tensor():
    nodes = [
        helper.make_node("Greater", ["x", "a"], ["above"]),
        helper.make_node("Less", ["x", "b"], ["below"]),
        helper.make_node("LessOrEqual", ["b", "x"], ["not_below"]),
        helper.make_node("GreaterOrEqual", ["x", "a"], ["at"]),
        helper.make_node("Equal", ["x", "a"], ["same"]),
        helper.make_node("And", ["above", "below"], ["inside"]),
        helper.make_node("Not", ["inside"], ["outside"]),
        helper.make_node("Xor", ["at", "not_below"], ["either"]),
        helper.make_node("Or", ["same", "outside"], ["any"]),
        helper.make_node("Sin", ["x"], ["sine"]),
        helper.make_node("Where", ["inside", "sine", "x"], ["y"], name="y"),
        helper.make_node("Where", ["either", "a", "sine"], ["z"], name="z"),
        helper.make_node("Cast", ["any"], ["c"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["c", "sine"], ["w"], name="w"),
    ]
    made = model(nodes, [("a", -1.0), ("b", 1.5)], opset=17)
    graph = read_onnx(made)
    for got, want in zip(floating.predict(graph, DOMAIN), outputs(made), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert [type(node) for node in graph.nodes] == [Function] * 3


def test_a_truth_value_is_no_output_and_chooses_between_functions_of_its_tensor_only():
    compared = [helper.make_node("Greater", ["x", "a"], ["y"], name="y")]
    with pytest.raises(Unsupported, match="output 'y' is a truth value; cast it to float"):
        read_onnx(model(compared, [("a", 0.5)], opset=17))
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[1, 3], pads=[0, 1, 0, 1]),
        helper.make_node("Greater", ["x", "p"], ["g"], name=""),
        helper.make_node("Where", ["g", "x", "p"], ["y"], name="y"),
    ]
    with pytest.raises(Unsupported, match=r"node 'g' \(Greater\): .* functions of one tensor"):
        read_onnx(model(nodes, opset=17))


def test_a_function_is_read_back_as_it_was_written():
    for operator in ("HardSwish", "Gelu", "Shrink", "Selu", "Mish", "Softsign"):
        graph = read_onnx(model([helper.make_node(operator, ["x"], ["y"], name="f")]))
        again = read_onnx(float_to_onnx(graph))
        assert [(type(node), node.name) for node in again.nodes] == [(Function, "f")]
        (got,), (want,) = floating.predict(again, DOMAIN), floating.predict(graph, DOMAIN)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        *(
            nn.Threshold(0.3, 0.1),
            nn.LogSigmoid(),
            torch.erfc,
            torch.exp2,
            torch.expm1,
            torch.trunc,
            torch.frac,
        ),
        *(torch.sinh, torch.cosh, torch.asinh, torch.tan, lambda x: torch.acosh(1 + x * x), torch.log10),
        *(lambda x: torch.asin(x / 9) + torch.acos(x / 9) * x, lambda x: torch.atanh(x / 9)),
        *(lambda x: torch.where(x == 0, x, x.exp()), lambda x: (x != 0) * x.abs()),
        *(lambda x: x.square_().sigmoid_(), lambda x: torch.where(x.abs() < 1, x**3, torch.sign(x))),
    ],
    ids=lambda function: getattr(function, "__name__", str(function)),
)
def test_operators_that_only_torch_has(function, check_torch):
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 2, 1)
            self.layer.weight.data = torch.tensor([0.9, 0.4]).reshape(2, 1, 1, 1)
            self.layer.bias.data = torch.tensor([4.0, 5.0])

        def forward(self, x):
            return function(self.layer(x))

    graph = check_torch(Alone(), (1, 2, 5))
    assert [type(node) for node in graph.nodes] == [Conv, Function]
