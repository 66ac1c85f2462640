"""Each operator in a small module, its import compared with torch itself."""

import numpy as np
import pytest
import torch
from hwquant_testing.float_networks import kinds
from hwquant_testing.torch_modules import Lambda
from hwquant_testing.whole import from_torch
from torch import nn
from torch.nn import functional as F

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.graph import Add, Conv


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
            lambda c, x: F.rrelu(c(x)),
            r"node 'rrelu' \(rrelu\): this operator is not supported; use LeakyReLU",
        ),
        (lambda c, x: F.layer_norm(c(x), (6,)), r"\(layer_norm\): .* use batch norm"),
        (lambda c, x: torch.erfinv(c(x)), r"\(erfinv\): this operator is not supported; build the network"),
        (lambda c, x: c(x) / c(x + 1), r"it divides two activations"),
        (lambda c, x: (c(x) > c(2 * x)) * c(x), r"\(gt\): .*choices are computed"),
        (lambda c, x: F.softmax(c(x), 1) + 1, r"reads the result of softmax"),
        (lambda c, x: F.softmax(c(x), 2), r"softmax over axis 2"),
        (lambda c, x: c(x).mean(), r"the batch included"),
        (lambda c, x: c(x).reshape(-1, 6, 6), r"lost its batch dimension"),
        (lambda c, x: torch.cat([c(x), c(x)], 0), r"concatenates along axis 0"),
        (lambda c, x: torch.cat([c(x)[None], c(x)[None]], 0), r"axis 0|batch"),
        (lambda c, x: F.avg_pool2d(c(x), 2, divisor_override=3), r"divisor_override"),
        (lambda c, x: torch.div(c(x), 2, rounding_mode="floor"), r"division with rounding"),
        (lambda c, x: c(x) / 0.0, r"divides by zero"),
        (lambda c, x: c(x).clamp(2, 1), r"empty range from 2.0 to 1.0"),
        (lambda c, x: c(x).int(), r"cast of activations to integers"),
        (lambda c, x: F.batch_norm(c(x), None, None, training=True), r"training mode"),
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
