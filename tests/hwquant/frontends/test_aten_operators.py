"""Each operator in a small module, its import compared with torch itself."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends import from_torch
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, MaxPool


class Lambda(nn.Module):
    """A function with layers, as a module."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, *inputs):
        return self.function(*self.layers, *inputs)


def kinds(graph):
    return [type(node) for node in graph.nodes]


def trained(norm):
    """A BatchNorm whose statistics and parameters are not the initial ones."""
    generator = torch.Generator().manual_seed(1)
    for name in ("weight", "bias", "running_mean"):
        getattr(norm, name).data = torch.randn(norm.num_features, generator=generator)
    norm.running_var.data = torch.rand(norm.num_features, generator=generator) + 0.5
    return norm


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


def test_a_leaky_relu_behind_batch_norm_is_a_clip_and_a_sum_of_two_scaled_tensors(check_torch):
    module = nn.Sequential(nn.Conv2d(2, 4, 3), trained(nn.BatchNorm2d(4)), nn.LeakyReLU(0.1))
    graph = check_torch(module, (2, 6, 6))
    assert kinds(graph) == [Conv, Clip, Conv, Conv, Add]
    assert graph.nodes[-1].name == "2"


@pytest.mark.parametrize("slopes", [1, 4])
def test_prelu_of_images_and_of_features(check_torch, slopes):
    first, second = nn.PReLU(slopes), nn.PReLU()
    first.weight.data = torch.linspace(-0.5, 1.5, slopes)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), first, nn.Flatten(), nn.Linear(64, 4), second)
    graph = check_torch(module, (2, 6, 6))  # decomposed it is a comparison and a choice
    assert kinds(graph) == [Conv, Clip, Conv, Conv, Add] * 2


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
    with pytest.raises(HwquantError, match=r"adaptive pooling of \[7, 7\] to \[3, 3\]"):
        from_torch(nn.AdaptiveAvgPool2d(3), torch.zeros(1, 1, 7, 7))


def test_residual_and_concatenation(check_torch):
    def forward(one, two, x):
        a, b = one(x), two(x)
        return torch.cat([a + b, a, F.relu(b)], 1)

    graph = check_torch(Lambda(forward, nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)), (2, 6, 6))
    assert kinds(graph) == [Conv, Conv, Add, Clip, Concat]


def test_concatenation_of_flattened_branches_feeds_a_fully_connected_layer(check_torch):
    def forward(one, two, linear, x):
        return linear(torch.cat([one(x).flatten(1), two(x).permute(0, 2, 3, 1).flatten(1)], 1))

    check_torch(Lambda(forward, nn.Conv2d(2, 3, 3), nn.Conv2d(2, 5, 3), nn.Linear(8 * 16, 7)), (2, 6, 6))


def test_subtraction_of_activations_is_a_sum_with_a_negated_convolution(check_torch):
    graph = check_torch(
        Lambda(lambda one, two, x: one(x) - two(x), nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)), (2, 6, 6)
    )
    assert kinds(graph) == [Conv, Conv, Add]


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y * 2 + 1,
        lambda y: 3 - y,
        lambda y: torch.rsub(y, 2, alpha=3),
        lambda y: torch.sub(y, 2, alpha=0.5),
        lambda y: (y - 0.5) / 0.25,
        lambda y: -y,
        lambda y: (
            y * torch.tensor([1.0, -2.0, 0.5]).view(3, 1, 1) + torch.tensor([[[1.0]], [[2.0]], [[3.0]]])
        ),
        lambda y: torch.add(y, torch.tensor(2.0), alpha=4),
    ],
)
def test_constants_behind_a_convolution_fold_into_it(check_torch, function):
    graph = check_torch(Lambda(lambda conv, x: function(conv(x)), nn.Conv2d(2, 3, 3)), (2, 6, 6))
    assert kinds(graph) == [Conv]


def test_normalization_of_the_input_becomes_preprocessing(check_torch):
    mean, deviation = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    module = Lambda(lambda conv, x: conv((x / 255 - mean) / deviation), nn.Conv2d(3, 4, 3, padding=1))
    graph = check_torch(module, (3, 5, 5))
    assert kinds(graph) == [Conv]
    np.testing.assert_allclose(graph.inputs[0].scale, 1 / 255 / deviation.numpy(), rtol=1e-6)


def test_a_second_reader_with_another_preprocessing_gets_a_node(check_torch):
    graph = check_torch(
        Lambda(
            lambda one, two, x: one(x / 2) + two(1 - x),
            nn.Conv2d(2, 3, 3, padding=1),
            nn.Conv2d(2, 3, 3, padding=1),
        ),
        (2, 5, 5),
    )
    assert kinds(graph) == [Conv, Conv, Conv, Add]


def test_an_elementwise_constant_folds_into_a_fully_connected_layer_but_not_before_a_convolution(check_torch):
    torch.manual_seed(3)
    mask = torch.rand(4, 3, 3)
    check_torch(
        Lambda(
            lambda conv, linear, x: linear((F.relu(conv(x)) * mask).flatten(1)),
            nn.Conv2d(2, 4, 3),
            nn.Linear(36, 5),
        ),
        (2, 5, 5),
    )
    module = Lambda(
        lambda conv, other, x: other(F.relu(conv(x)) * mask), nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 2)
    )
    with pytest.raises(
        HwquantError, match=r"node 'mul' multiplies or adds a constant that differs within a channel"
    ):
        from_torch(module, torch.zeros(1, 2, 5, 5))


def test_images_with_channels_last_reorder_the_input(check_torch):
    module = Lambda(lambda conv, x: conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), nn.Conv2d(3, 4, 3))
    graph = check_torch(module, (6, 5, 3))
    assert kinds(graph) == [Conv]
    assert graph.inputs[0].tensor_shape == (3, 6, 5)
    assert graph.outputs[0].shape == (4, 3, 4)


def test_a_transposed_flatten_permutes_the_columns_of_the_weights(check_torch):
    module = Lambda(
        lambda conv, linear, x: linear(conv(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1)),
        nn.Conv2d(3, 4, 3),
        nn.Linear(4 * 16, 5),
    )
    graph = check_torch(module, (3, 6, 6))
    assert graph.nodes[1].weight.shape == (5, 4, 4, 4)


def test_a_flattened_input_has_its_pixels_as_channels(check_torch):
    graph = check_torch(nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.ReLU(), nn.Linear(5, 3)), (3, 4, 4))
    assert graph.inputs[0].tensor_shape == (48, 1, 1)


def test_views_that_only_reorder_and_sizes_computed_from_an_open_batch(check_torch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear = nn.Conv2d(2, 4, 3), nn.Linear(64, 3)

        def forward(self, x):
            y = self.conv(x)
            y = y.unsqueeze(2).squeeze(2).transpose(1, 3).contiguous().transpose(1, 3).contiguous()
            y = y.view(y.size(0) * 2, -1).reshape(-1, 4, 16)
            return self.linear(y.transpose(1, 2).clone().flatten(1))

    check_torch(Net(), (2, 6, 6), dynamic=True)


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


def test_padding_goes_into_the_convolution_and_the_pool_that_read_it(check_torch):
    module = nn.Sequential(
        nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(2)
    )
    graph = check_torch(module, (2, 6, 6))
    assert kinds(graph) == [Conv, Clip, MaxPool]
    assert graph.nodes[0].window.padding == (1, 2, 4, 3)


def test_padding_before_an_average_counts_its_zeros(check_torch):
    graph = check_torch(nn.Sequential(nn.ZeroPad2d(1), nn.AvgPool2d(3, 2)), (2, 7, 7))
    assert kinds(graph) == [AveragePool]
    assert graph.nodes[0].count_include_pad


def test_padding_before_a_maximum_of_negative_values_stays_a_node(check_torch):
    graph = check_torch(nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.MaxPool2d(2)), (2, 6, 6))
    assert kinds(graph) == [Conv, Conv, MaxPool]


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax_stays_on_the_host(check_torch, function):
    graph = check_torch(Lambda(lambda linear, x: function(linear(x), dim=-1), nn.Linear(4, 3)), (4,))
    assert graph.outputs[0].host == (function.__name__,)


def test_argmax_of_classes_and_of_pixels_stays_on_the_host(check_torch):
    graph = check_torch(Lambda(lambda linear, x: linear(x).softmax(1).argmax(1), nn.Linear(4, 3)), (4,))
    assert graph.outputs[0].host == ("softmax", "argmax")
    check_torch(Lambda(lambda conv, x: conv(x).argmax(1), nn.Conv2d(2, 4, 1)), (2, 3, 5))


def test_several_inputs_and_outputs(check_torch):
    def forward(one, two, a, b):
        y = one(a) + two(b)
        return y, y.relu()

    graph = check_torch(Lambda(forward, nn.Linear(4, 3), nn.Linear(5, 3)), (4,), (5,))
    assert len(graph.inputs) == len(graph.outputs) == 2


def test_operators_in_place_change_all_names_of_their_tensor(check_torch):
    def forward(conv, x):
        y = conv(x)
        F.relu(y, inplace=True)
        return y * 2 + F.hardtanh(y.add_(1), 0, 2, inplace=True)

    check_torch(Lambda(forward, nn.Conv2d(2, 3, 1)), (2, 4, 4))


def test_an_operator_in_place_below_a_view_that_is_read_later_is_refused():
    def forward(conv, x):
        y = conv(x)
        flat = y.flatten(1)
        F.relu(y, inplace=True)
        return flat

    with pytest.raises(
        HwquantError, match=r"'relu_' \(relu_\): it overwrites 'conv2d' in place while 'flatten'"
    ):
        from_torch(Lambda(forward, nn.Conv2d(2, 3, 1)), torch.zeros(1, 2, 4, 4))


def test_bytes_become_real_numbers_as_in_torch():
    conv = nn.Conv2d(3, 4, 3)
    x = torch.randint(0, 256, (2, 3, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for function in (
        lambda x: x.float() / 255,
        lambda x: x / 255,
        lambda x: x * (1 / 255),
        lambda x: x.to(torch.float32) / 255,
    ):
        module = Lambda(lambda conv, x, f=function: conv(f(x)), conv)
        (got,) = predict(from_torch(module, x), x.numpy())
        np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(
        HwquantError, match=r"'self' is uint8 here, an integer; cast it to float before arithmetic"
    ):
        from_torch(Lambda(lambda conv, x: conv((x - 128).float()), conv), x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda c, x: F.gelu(c(x)),
            r"node 'gelu' \(gelu\): this operator is not supported; use ReLU, ReLU6, LeakyReLU or PReLU",
        ),
        (lambda c, x: torch.sigmoid(c(x)), r"\(sigmoid\): .*; use ReLU, .* leave it to the host"),
        (lambda c, x: F.hardswish(c(x)), r"\(hardswish\): .*; use ReLU"),
        (lambda c, x: F.layer_norm(c(x), (6,)), r"\(layer_norm\): .* use batch norm"),
        (
            lambda c, x: F.interpolate(c(x), scale_factor=2),
            r"\(upsample_nearest2d\): .* makes an image larger",
        ),
        (lambda c, x: torch.sin(c(x)), r"\(sin\): this operator is not supported; build the network from"),
        (lambda c, x: c(x) * c(x), r"it multiplies two activations"),
        (lambda c, x: 1 / c(x), r"reciprocal.*not supported"),
        (lambda c, x: F.softmax(c(x), 1) + 1, r"reads the result of softmax"),
        (lambda c, x: F.softmax(c(x), 2), r"softmax over axis 2"),
        (lambda c, x: c(x).mean(1), r"only spatial axes"),
        (lambda c, x: c(x).mean(), r"the batch included"),
        (lambda c, x: c(x).reshape(-1, 6, 6), r"lost its batch dimension"),
        (lambda c, x: c(c(x).transpose(2, 3).reshape(2, 3, 3, 12)[:, :2]), r"not supported"),
        (
            lambda c, x: F.max_pool2d(c(x).transpose(2, 3), 2),
            r"transposed to \(3, 6, 6\); only a network input",
        ),
        (lambda c, x: c(x) + c(x).transpose(2, 3), r"different orders"),
        (lambda c, x: c(x) + c(x).mean((2, 3), keepdim=True), r"shapes \(2, 3, 6, 6\) and \(2, 3, 1, 1\)"),
        (lambda c, x: torch.cat([c(x), c(x)], 0), r"concatenates along axis 0"),
        (lambda c, x: torch.cat([c(x)[None], c(x)[None]], 0), r"axis 0|batch"),
        (lambda c, x: F.pad(c(x), (1, 1), value=2.0), r"padding with 2.0 is not supported, only zeros"),
        (lambda c, x: F.pad(c(x), (0, 0, 0, 0, 1, 1)), r"only height and width can be padded"),
        (lambda c, x: F.avg_pool2d(c(x), 3, 2, 1, ceil_mode=True), r"count_include_pad with ceil_mode"),
        (lambda c, x: F.avg_pool2d(c(x), 2, divisor_override=3), r"divisor_override"),
        (lambda c, x: torch.div(c(x), 2, rounding_mode="floor"), r"division with rounding"),
        (lambda c, x: c(x) / 0.0, r"divides by zero"),
        (lambda c, x: c(x).clamp(2, 1), r"empty range from 2.0 to 1.0"),
        (lambda c, x: c(x).int(), r"cast of activations to integers"),
        (lambda c, x: F.batch_norm(c(x), None, None, training=True), r"training mode"),
        (
            lambda c, x: F.conv_transpose2d(c(x), torch.ones(3, 2, 2, 2)),
            r"conv_transpose2d.* not supported; no layer makes an image larger",
        ),
        (lambda c, x: torch.ones(2), r"does not depend on the network's input"),
    ],
)
def test_what_is_not_supported_is_named(function, message):
    with pytest.raises(HwquantError, match=message):
        from_torch(Lambda(function, nn.Conv2d(2, 3, 1)), torch.zeros(2, 2, 6, 6))


@pytest.mark.parametrize(("number", "kind"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_weights_that_are_not_finite_are_named(number, kind):
    module = nn.Sequential(nn.Conv2d(2, 3, 1))
    module[0].weight.data[1, 1] = number
    with pytest.raises(HwquantError, match=rf"tensor '0.weight' contains {kind}"):
        from_torch(module, torch.zeros(1, 2, 4, 4))
