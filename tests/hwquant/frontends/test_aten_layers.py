"""Layers in small modules, their import compared with torch itself."""

import numpy as np
import pytest
import torch
from hwquant_testing.float_networks import kinds
from hwquant_testing.torch_modules import Lambda, trained
from hwquant_testing.whole import from_torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.graph import Add, AveragePool, Clip, Conv, Function, MaxPool


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_convolution_equals_torch(data):
    draw = data.draw
    groups = draw(st.sampled_from([1, 2, 3]))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    channels, out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    torch.manual_seed(draw(st.integers(0, 1000)))
    module = nn.Conv2d(
        channels, out, kernel, stride, padding, dilation, groups, bias=draw(st.booleans())
    ).eval()
    x = torch.randn(2, channels, 8, 9)
    (got,) = predict(from_torch(module, x), x.numpy())
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_pooling_equals_torch(data):
    draw = data.draw
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    stride = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
    ceil = draw(st.booleans())
    if draw(st.booleans()):
        module = nn.MaxPool2d(kernel, stride, padding, draw(st.integers(1, 2)), ceil_mode=ceil)
    else:
        include = draw(st.booleans()) and not ceil
        module = nn.AvgPool2d(kernel, stride, padding, ceil, count_include_pad=include)
    x = torch.randn(2, 2, draw(st.integers(8, 11)), draw(st.integers(8, 11)))
    (got,) = predict(from_torch(module, x), x.numpy())
    np.testing.assert_allclose(got, module(x).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_small_classifier_is_a_chain_of_nodes(check_torch, dynamic):
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(4 * 16, 10),
        nn.LogSoftmax(dim=1),
    )
    graph = check_torch(module, (1, 8, 8), dynamic=dynamic)
    assert [node.name for node in graph.nodes] == ["0", "1", "2", "5"]
    assert kinds(graph) == [Conv, Clip, MaxPool, Conv]
    assert graph.outputs[0].host == ("log_softmax",)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # that is what this test is about
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(check_torch, padding):
    check_torch(nn.Conv2d(2, 3, (4, 3), padding=padding, dilation=(1, 2)), (2, 9, 9))


def test_one_dimensional_convolution_and_pooling_have_height_one(check_torch):
    module = nn.Sequential(
        nn.Conv1d(3, 4, 5, 2, 2), nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(1)
    )
    graph = check_torch(module, (3, 40), decomposed=False)
    assert [shape[1] for shape in graph.shapes.values()] == [1] * 5


def test_a_leaky_relu_behind_batch_norm_is_a_function(check_torch):
    module = nn.Sequential(nn.Conv2d(2, 4, 3), trained(nn.BatchNorm2d(4)), nn.LeakyReLU(0.1))
    graph = check_torch(module, (2, 6, 6))
    assert kinds(graph) == [Conv, Function]
    assert graph.nodes[-1].name == "2"


@pytest.mark.parametrize("slopes", [1, 4])
def test_prelu_of_images_and_of_features(check_torch, slopes):
    first, second = nn.PReLU(slopes), nn.PReLU()
    first.weight.data = torch.linspace(-0.5, 1.5, slopes)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), first, nn.Flatten(), nn.Linear(64, 4), second)
    graph = check_torch(module, (2, 6, 6))  # decomposed it is a comparison and a choice
    several = [Conv, Clip, Conv, Conv, Add]
    assert kinds(graph) == [*(several if slopes > 1 else [Conv, Function]), Conv, Function]


def test_batch_norm_is_folded_backward_into_the_convolution(check_torch):
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), trained(nn.BatchNorm2d(4)), nn.ReLU6())
    graph = check_torch(module, (2, 6, 6))
    assert [(type(node), node.name) for node in graph.nodes] == [(Conv, "0"), (Clip, "2")]


def test_batch_norm_is_folded_backward_into_a_fully_connected_layer(check_torch):
    graph = check_torch(nn.Sequential(nn.Linear(6, 4), trained(nn.BatchNorm1d(4))), (6,))
    assert kinds(graph) == [Conv]


def test_batch_norm_of_the_input_becomes_preprocessing(check_torch):
    graph = check_torch(nn.Sequential(trained(nn.BatchNorm2d(2)), nn.Conv2d(2, 4, 3, padding=1)), (2, 6, 6))
    assert kinds(graph) == [Conv]
    assert graph.inputs[0].scale.shape == (2, 1, 1)


@pytest.mark.parametrize(("padding", "nodes"), [(0, [Conv, Clip, Conv]), (1, [Conv, Clip, Conv, Conv])])
def test_batch_norm_behind_a_relu_goes_forward_unless_padding_comes_between(check_torch, padding, nodes):
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        trained(nn.BatchNorm2d(4)),
        nn.Conv2d(4, 6, 3, padding=padding, groups=2),
    )
    graph = check_torch(module, (2, 8, 8))
    assert kinds(graph) == nodes
    if padding:
        assert graph.nodes[2].groups == 4


def test_batch_norm_of_a_convolution_that_others_read_too_stays_apart(check_torch):
    def forward(conv, norm, x):
        y = conv(x)
        return F.relu(norm(y)) + y

    graph = check_torch(Lambda(forward, nn.Conv2d(2, 3, 1), trained(nn.BatchNorm2d(3))), (2, 5, 5))
    assert kinds(graph) == [Conv, Conv, Clip, Add]


@pytest.mark.parametrize(
    "function",
    [
        F.relu,
        F.relu6,
        lambda x: F.hardtanh(x, -0.5, 0.75),
        lambda x: x.clamp(-0.3),
        lambda x: x.clamp(max=0.3),
        lambda x: x.clamp_min(0.1).clamp_max(0.4),
        lambda x: torch.maximum(x, torch.tensor(0.2)),
        lambda x: torch.minimum(x, torch.tensor(0.2)),
    ],
)
def test_clipping_functions(check_torch, function):
    graph = check_torch(Lambda(lambda conv, x: function(conv(x)), nn.Conv2d(2, 3, 1)), (2, 4, 4))
    assert set(kinds(graph)) == {Conv, Clip}


def test_global_pooling_in_its_many_forms(check_torch):
    for function in (
        nn.AdaptiveAvgPool2d(1),
        lambda x: x.mean((2, 3)),
        lambda x: x.mean((-1, -2), keepdim=True),
        lambda x: x.flatten(2).mean(2),
        lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
    ):
        graph = check_torch(Lambda(lambda conv, x, f=function: f(conv(x)), nn.Conv2d(2, 3, 1)), (2, 4, 5))
        assert kinds(graph) == [Conv, AveragePool]
        assert graph.nodes[1].window.kernel == (4, 5)


def test_global_maximum_and_means_of_one_axis(check_torch):
    graph = check_torch(Lambda(lambda conv, x: conv(x).amax((2, 3)), nn.Conv2d(2, 3, 1)), (2, 4, 5))
    assert kinds(graph) == [Conv, MaxPool]
    for axis in (2, 3):
        graph = check_torch(Lambda(lambda conv, x, a=axis: conv(x).mean(a), nn.Conv2d(2, 3, 1)), (2, 4, 5))
        assert graph.nodes[1].window.kernel == ((4, 1) if axis == 2 else (1, 5))


def test_adaptive_pooling_that_divides_evenly(check_torch):
    graph = check_torch(
        nn.Sequential(nn.AdaptiveAvgPool2d((2, None)), nn.AdaptiveMaxPool2d(2)), (2, 6, 4), decomposed=False
    )
    assert [node.window.kernel for node in graph.nodes] == [(3, 1), (1, 2)]


@pytest.mark.parametrize(
    ("size", "pool", "pools"),
    [
        ((7, 13), nn.AdaptiveAvgPool2d((3, 6)), 1),  # windows that overlap, all alike
        ((1, 1), nn.AdaptiveAvgPool2d(6), 0),  # what AlexNet does with small pictures: pixels repeated
        ((2, 3), nn.AdaptiveAvgPool2d((7, 2)), 3),  # windows of one row and of two
        ((10, 5), nn.AdaptiveMaxPool2d((4, 3)), 6),
    ],
)
def test_adaptive_pooling_that_does_not_divide_evenly(check_torch, size, pool, pools):
    graph = check_torch(nn.Sequential(nn.Conv2d(2, 3, 1), pool), (2, *size), decomposed=False)
    assert sum(isinstance(node, AveragePool | MaxPool) for node in graph.nodes) == pools


def test_adaptive_pooling_of_sequences(check_torch):
    check_torch(nn.Sequential(nn.AdaptiveAvgPool1d(5), nn.AdaptiveMaxPool1d(3)), (2, 7), decomposed=False)


def test_adaptive_pooling_into_too_many_kinds_of_windows_is_refused():
    with pytest.raises(HwquantError, match=r"adaptive pooling of \[100, 100\] to \[37, 37\]"):
        from_torch(nn.AdaptiveMaxPool2d(37), torch.zeros(1, 1, 100, 100))


def test_a_linear_layer_over_a_sequence_is_a_pointwise_convolution(check_torch):
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    graph = check_torch(module, (5, 6))
    assert [graph.shapes[node.name] for node in graph.nodes] == [(8, 1, 5), (8, 1, 5), (4, 1, 5)]


def test_matrix_products_with_constants(check_torch):
    torch.manual_seed(4)
    a, b = torch.randn(6, 5), torch.randn(5, 4)
    graph = check_torch(
        Lambda(lambda x: torch.addmm(torch.ones(4), (x @ a).relu().mm(b), b.T @ b, beta=2, alpha=3)), (6,)
    )
    assert [type(node) for node in graph.nodes][:2] == [Conv, Clip]
