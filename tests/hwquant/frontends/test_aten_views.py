"""Reorderings, joins and padding in small modules, their import compared with torch itself."""

import torch
from hwquant_testing.float_networks import kinds
from hwquant_testing.torch_modules import Lambda
from torch import nn
from torch.nn import functional as F

from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, MaxPool


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
