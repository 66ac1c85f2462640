"""Modules as they are written in practice: what loads, in every form, and what is refused by its right name."""

import numpy as np
import pytest
import torch
from hwquant_testing.torch_modules import Lambda
from hwquant_testing.whole import from_exported, from_torch
from torch import nn
from torch.nn import functional as F

from hwquant.errors import Unsupported
from hwquant.floating import predict

RNG = np.random.default_rng(0)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*deprecated:FutureWarning"),  # torch copies its own
    pytest.mark.filterwarnings("ignore:No complete tensor found:UserWarning"),  # of an expanded parameter
]


class Inverted(nn.Module):
    """A block of MobileNetV2 and MnasNet."""

    def __init__(self, channels, out, kernel, stride):
        super().__init__()
        wide = 2 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.residual = channels == out and stride == 1

    def forward(self, x):
        return self.layers(x) + x if self.residual else self.layers(x)


class Basic(nn.Module):
    """A block of ResNet, its sum in place."""

    def __init__(self, channels, out, stride):
        super().__init__()
        self.one, self.two = nn.Conv2d(channels, out, 3, stride, 1), nn.Conv2d(out, out, 3, 1, 1)
        self.norm, self.relu = nn.BatchNorm2d(out), nn.ReLU(inplace=True)
        self.down = nn.Conv2d(channels, out, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        y = self.norm(self.two(self.relu(self.one(x))))
        y += self.down(x)
        return self.relu(y)


def test_mobile_networks(check_torch):
    features = nn.Conv2d(3, 4, 3, 2, 1), Inverted(4, 4, 3, 1), Inverted(4, 6, 5, 2)
    head = nn.Dropout(0.2, inplace=True), nn.Linear(6, 5)
    pooled = Lambda(lambda x: x.mean([2, 3]))
    check_torch(nn.Sequential(*features, pooled, *head), (3, 16, 16))


def test_residual_networks(check_torch):
    layers = nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), Basic(4, 4, 1), Basic(4, 6, 2)
    check_torch(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)), (3, 16, 16))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(inplace=True),
        nn.Dropout2d(inplace=True),
        nn.AlphaDropout(inplace=True),
        nn.FeatureAlphaDropout(inplace=True),
        nn.Identity(),
    ],
)
def test_what_does_nothing_outside_training(check_torch, layer):
    check_torch(nn.Sequential(nn.Conv2d(2, 3, 1), layer, nn.ReLU(inplace=True)), (2, 4, 4))


def normalized(wrap):
    return nn.Sequential(wrap(nn.Conv2d(2, 3, 3)))


def standardized(conv, x):
    weight = conv.weight
    weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
    return F.conv2d(x, weight, conv.bias)


@pytest.mark.parametrize(
    "module",
    [
        normalized(nn.utils.parametrizations.weight_norm),
        normalized(nn.utils.parametrizations.spectral_norm),
        Lambda(standardized, nn.Conv2d(2, 3, 3)),
    ],
    ids=["weight_norm", "spectral_norm", "standardized"],
)
def test_weights_that_are_computed_from_constants(check_torch, module):
    graph = check_torch(module, (2, 5, 5))
    assert len(graph.nodes) == 1


def test_an_expanded_parameter(check_torch):
    conv = nn.Conv2d(2, 4, 3)
    conv.weight = nn.Parameter(torch.randn(1, 2, 3, 3).expand(4, 2, 3, 3))
    check_torch(nn.Sequential(conv), (2, 5, 5))


class ChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(2, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.linear(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_linear_layer_on_the_last_axis_of_images(check_torch):
    check_torch(ChannelsLast(), (2, 5, 5), dynamic=True)


def contracted(equation, shape):
    weight = torch.from_numpy(RNG.standard_normal(shape).astype(np.float32))
    layers = nn.Conv2d(2, 3, 1), nn.Flatten()
    return Lambda(lambda conv, flat, x: flat(torch.einsum(equation, conv(x), weight)), *layers)


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("bchw,oc->bohw", (5, 3)),
        ("bc...,c -> b...c", (3,)),
        ("bchw,chwo->bo", (3, 4, 4, 5)),
        ("bchw,chwo", (3, 4, 4, 5)),
        ("...,->...", ()),
        ("bchw,cow->boh", (3, 5, 4)),
    ],
)
def test_einsum_with_a_constant_is_a_layer_or_a_factor(equation, shape):
    module, x = contracted(equation, shape), torch.randn(2, 2, 4, 4)
    want = module(x).detach().numpy()
    np.testing.assert_allclose(predict(from_torch(module, x), x.numpy())[0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "shape", "message"),
    [
        ("bchw,oc->bhw", (5, 3), r"neither a linear layer nor a factor"),
        ("bchw,bc->hw", (2, 3), r"lost its batch dimension|it reads"),
        ("bchw,wk->bchw", (4, 5), r"neither a linear layer nor a factor"),
    ],
)
def test_other_einsums_are_refused(equation, shape, message):
    with pytest.raises(Unsupported, match=message):
        from_torch(contracted(equation, shape), torch.randn(2, 2, 4, 4))


def attention(linear, x):
    q, k, v = linear(x).chunk(3, -1)
    return (q @ k.transpose(1, 2)).softmax(-1) @ v


def fused_attention(linear, x):
    return F.scaled_dot_product_attention(*linear(x).chunk(3, -1))


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize(
    "module",
    [Lambda(attention, nn.Linear(8, 24)), Lambda(fused_attention, nn.Linear(8, 24))],
)
def test_attention_is_refused_as_attention(module, decomposed):
    program = torch.export.export(module, (torch.zeros(2, 5, 8),))
    if decomposed:
        program = program.run_decompositions()
    with pytest.raises(Unsupported, match=r"multiplies activations with each other, as attention does"):
        from_exported(program)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1)
        return x * self.calls


def in_training(module):
    module.train()
    return torch.export.export(module, (torch.randn(2, 2, 4, 4),), strict=False)


@pytest.mark.parametrize(
    ("module", "plain", "decomposed"),
    [
        (
            nn.BatchNorm2d(2),
            r"changes the module's 'num_batches_tracked' .* after .eval",
            r"changes a buffer",
        ),
        (nn.Sequential(nn.Conv2d(2, 2, 1), nn.Dropout()), r"drops values as in training", r"random numbers"),
        (
            Counting(),
            r"it changes the module's 'calls' with every call",
            r"changes a buffer with every call",
        ),
        (
            nn.BatchNorm2d(2, track_running_stats=False),
            r"without running statistics",
            r"normalizes by the batch at hand",
        ),
    ],
)
def test_what_depends_on_more_than_the_sample_is_refused(module, plain, decomposed):
    program = in_training(module)
    with pytest.raises(Unsupported, match=plain):
        from_exported(program)
    with pytest.raises(Unsupported, match=decomposed):
        from_exported(program.run_decompositions())


def test_the_size_of_an_open_batch_is_no_number_to_compute_with():
    module, shapes = Lambda(lambda x: x * x.shape[0]), (({0: torch.export.Dim("n")},),)
    program = torch.export.export(module, (torch.zeros(3, 4),), dynamic_shapes={"inputs": shapes[0]})
    with pytest.raises(Unsupported, match=r"its argument 'other' is the size of the open batch"):
        from_exported(program)


BYTES = torch.from_numpy(RNG.integers(0, 256, (2, 2, 4, 4)).astype(np.uint8))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.int8, r"a cast of activations to integers \(uint8 to int8\)"),
        (torch.bool, r"a cast of activations to integers \(uint8 to bool\)"),
    ],
)
def test_a_cast_that_loses_values_is_refused(kind, message):
    module = Lambda(lambda conv, x: conv(x.to(kind).float()), nn.Conv2d(2, 3, 1))
    with pytest.raises(Unsupported, match=message):
        from_torch(module, BYTES)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.to(torch.int16).float(),
        lambda x: x.to(torch.float16).float(),
        lambda x: x.double().float(),
        lambda x: x.type_as(torch.zeros(1)),
        lambda x: x.to(torch.zeros(1)) * torch.tensor(2),
        lambda x: x * torch.tensor(0.5),
    ],
)
def test_a_cast_that_keeps_values_is_computed(function):
    module = Lambda(lambda conv, x: conv(function(x)), nn.Conv2d(2, 3, 1))
    program = torch.export.export(module, (BYTES,))
    want = module(BYTES).detach().numpy()
    for form in (program, program.run_decompositions()):
        np.testing.assert_allclose(predict(from_exported(form), BYTES.numpy())[0], want, rtol=1e-4)


def test_networks_of_float64_are_computed_and_of_half_precision_refused():
    module, x = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).eval(), torch.randn(2, 2, 5, 5)
    double = module.double()
    want = double(x.double()).detach().numpy()
    np.testing.assert_allclose(predict(from_torch(double, x.double()), x.double().numpy())[0], want)
    for kind in (torch.float16, torch.bfloat16):
        with pytest.raises(Unsupported, match=r"computes in b?float16, whose rounding is not reproduced"):
            from_torch(module.to(kind), x.to(kind))


def test_a_quantized_or_sparse_constant_is_refused_by_name():
    module = Lambda(lambda conv, x: conv(x), nn.Conv2d(2, 3, 1))
    module.register_buffer("table", torch.eye(3).to_sparse())
    program = torch.export.export(module, (torch.zeros(2, 2, 4, 4),))
    with pytest.raises(Unsupported, match=r"tensor 'table' is float32, sparse_coo"):
        from_exported(program)
