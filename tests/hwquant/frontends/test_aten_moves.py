"""Operators of torch that take, repeat, join and surround elements, exported and decomposed, against torch."""

import numpy as np
import torch
from hwquant_testing.whole import from_torch
from torch import nn
from torch.nn import functional

from hwquant.floating import predict
from hwquant.graph import Clip, Conv, Rearrange

INDEX = torch.tensor([1, 0, 3])
MOVES = {
    "slice": lambda x: x[:, 1:3, 1:, ::2],
    "select": lambda x: x[:, :, 2],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "split": lambda x: x.split(3, 1)[1],
    "split with sizes": lambda x: x.split([1, 3], 1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "index": lambda x: x[:, [3, 0, 0]],
    "index select": lambda x: torch.index_select(x, 2, INDEX),
    "flip": lambda x: x.flip(3),
    "roll": lambda x: torch.roll(x, (1, -1), (2, 1)),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "repeat interleave": lambda x: x.repeat_interleave(2, 1),
    "tile": lambda x: x.tile((1, 1, 2, 1)),
    "stack": lambda x: torch.stack([x[:, 0], x[:, 2]], 1),
    "expand": lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 3, 3),
    "move axes": lambda x: x.movedim(1, -1),
    "swap axes": lambda x: x.swapaxes(2, 3),
    "nearest": lambda x: functional.interpolate(x, scale_factor=2),
    "nearest to a size": lambda x: functional.interpolate(x, size=(9, 14)),
    "nearest by a factor": lambda x: functional.interpolate(x[:, :, :3], scale_factor=(2.3, 1.9)),
    "nearest of a row by a factor": lambda x: functional.interpolate(x[:, :, 0, :4], scale_factor=2.3),
    "nearest, exact": lambda x: functional.interpolate(x, size=(4, 13), mode="nearest-exact"),
    "pixel shuffle": lambda x: functional.pixel_shuffle(x, 2),
    "pixel unshuffle": lambda x: functional.pixel_unshuffle(x, 2),
    "channel shuffle": lambda x: functional.channel_shuffle(x, 2),
    "pad reflected": lambda x: functional.pad(x, (1, 2, 1, 1), mode="reflect"),
    "pad with edges": lambda x: functional.pad(x, (1, 1, 2, 1), mode="replicate"),
    "pad and crop": lambda x: functional.pad(x, (1, 1, -1, 2), value=0.5),
    "concatenate rows": lambda x: torch.cat([x, x[:, :, :2]], 2),
    "average without padding": lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average, rounded up": lambda x: functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "least pixel": lambda x: x.amin((2, 3)),
    "sum of pixels": lambda x: x.sum((2, 3)),
    "mean of channels": lambda x: x.mean(1),
    "mean of a stack": lambda x: torch.stack([x, x.relu()], 2).mean(2),
    "sum of a stack": lambda x: torch.stack([x, x.flip(3), x], 1).sum(1),
    "sum of groups": lambda x: x.unflatten(1, (2, 2)).sum(1),
    "sum of turned groups": lambda x: x.unflatten(1, (2, 2)).transpose(3, 4).sum(2, keepdim=True),
    "sum of what is repeated": lambda x: x[:, None].expand(-1, 3, -1, -1, -1).sum(1),
    "largest channel": lambda x: x.max(dim=1, keepdim=True).values,
    "maximum": lambda x: torch.maximum(x, x.flip(2)),
    "broadcast": lambda x: x + x.mean((2, 3), keepdim=True),
}
WHOLE = {
    "pad around": lambda x: functional.pad(x, (1, 1, 1, 1), mode="circular"),
    "triangle": lambda x: torch.triu(x, 1),
}
"""What torch decomposes into comparisons, or into writes to a part of a tensor."""


class Moves(nn.Module):
    """A convolution, and everything that may be done to what it makes."""

    def __init__(self, moves):
        super().__init__()
        self.moves = tuple(moves.values())
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return tuple(move(self.conv(x)) for move in self.moves)


def test_moved_elements_are_those_of_torch(check_torch):
    torch.manual_seed(0)
    check_torch(Moves(MOVES), (4, 6, 8))
    check_torch(Moves(WHOLE), (4, 6, 8), decomposed=False)


def up(*arguments, **options):
    return nn.ConvTranspose2d(*arguments, **options)


def test_transposed_convolutions_with_batch_norms_are_ordinary_ones(check_torch):
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3),
        up(4, 6, 4, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        up(6, 6, 3, (3, 2), 1, (1, 0), groups=3, bias=False),
        up(6, 3, (2, 3), (3, 2), (0, 1), (2, 1)),
        nn.Conv2d(3, 2, 1),
    ).eval()
    with torch.no_grad():
        module[2].running_mean.normal_()
        module[2].running_var.uniform_(0.5, 2)
    graph = check_torch(module, (2, 5, 6))
    assert sum(isinstance(node, Conv) for node in graph.nodes) == 1 + 4 + 6 + 6 + 1
    assert {type(node) for node in graph.nodes} == {Clip, Conv, Rearrange}


class Triangle(nn.Module):
    """The one sample for a row of the matrix, of which a triangle is left; and one that is left of it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        row = torch.triu(self.linear(x), 2)
        return row, (row + row[0, 3].relu()).tril(3)


def test_a_triangle_of_the_one_sample_keeps_its_shape():
    torch.manual_seed(2)
    module, x = Triangle().eval(), torch.randn(1, 4)
    with torch.no_grad():
        wanted = module(x)
    for got, want in zip(predict(from_torch(module, x), x.numpy()), wanted, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-6)
