"""Small networks with every geometry that bands must come to terms with."""

import numpy as np
from hwquant_testing.small_networks import Net


def odd_heights():
    net = Net(1, x=(3, 15, 11))
    net.conv("x", 5, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    net.conv("layer0", 7, (3, 3), stride=(2, 2), padding=(0, 1, 1, 0))
    net.conv("layer1", 4, (2, 2), stride=(3, 1))
    return net.build("layer0", "layer2")


def dilated():
    net = Net(2, x=(2, 17, 9))
    net.conv("x", 4, (3, 3), dilation=(3, 2), padding=(3, 2, 3, 2))
    net.conv("layer0", 4, (3, 2), dilation=(2, 1), groups=4)
    return net.build()


def stem():
    """The beginning of a residual network: 7x7 windows, then a pool whose windows overlap."""
    net = Net(3, x=(3, 29, 23))
    net.conv("x", 8, (7, 7), stride=(2, 2), padding=(3, 3, 3, 3))
    net.pool("layer0", (3, 3), (2, 2), padding=(1, 1, 1, 1))
    first = net.conv("pool1", 8, (3, 3), padding=(1, 1, 1, 1))
    net.layer(net.term(first, 8, (3, 3), padding=(1, 1, 1, 1)), net.term("pool1", 8))
    return net.build()


def strided_residual():
    net = Net(4, x=(4, 12, 10))
    first = net.conv("x", 6, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    net.layer(net.term(first, 6, (3, 3), padding=(1, 1, 1, 1)), net.term("x", 6, stride=(2, 2)))
    return net.build()


def fused_pools():
    """Pools on a layer's way out, side by side or with pixels between them, and one of pixels alone."""
    net = Net(5, x=(2, 19, 13))
    net.pool(net.conv("x", 4, (3, 3)), (2, 3))
    net.pool(net.conv("pool1", 5), (2, 2), (3, 2))
    net.pool("pool3", (1, 1), (2, 2))
    return net.build()


def inverted_residuals():
    net = Net(6, x=(4, 14, 10))
    wide = net.conv("x", 12)
    deep = net.conv(wide, 12, (3, 3), groups=12, padding=(1, 1, 1, 1))
    added = net.layer(net.term(deep, 4), net.term("x", 4))
    wide = net.conv(added, 12)
    deep = net.conv(wide, 12, (3, 3), groups=12, padding=(1, 1, 1, 1), stride=(2, 2))
    return net.build(net.conv(deep, 6))


def whole_pictures():
    """Windows as high as the picture, of channels that do not mix, and products with what they give."""
    net = Net(7, x=(3, 11, 7))
    first = net.conv("x", 12, (3, 3), padding=(1, 1, 1, 1))
    mean = net.conv(first, 12, (11, 7), groups=12, codes=np.ones((12, 1, 11, 7)))
    factors = net.conv(net.conv(mean, 3), 12)
    scaled = net.product(first, factors)
    return net.build(net.product(scaled, first))


def rearranged():
    """Rows enlarged, mirrored, and woven into those of another tensor; channels one after the other."""
    net = Net(8, x=(2, 8, 6))
    first = net.conv("x", 3)
    index = np.arange(3 * 8 * 6).reshape(3, 8, 6)
    large = net.rearrange(index.repeat(2, axis=1).repeat(2, axis=2), first)
    mirrored = net.rearrange(np.arange(3 * 16 * 12).reshape(3, 16, 12)[:, ::-1], large)
    second = net.conv(large, 3, zero_point=net.tensors[mirrored].zero_point)
    both = np.arange(2 * 3 * 16 * 12).reshape(2, 3, 16, 12)
    woven = net.rearrange(both.transpose(1, 2, 0, 3).reshape(3, 32, 12), mirrored, second)
    return net.build(net.concat(woven, net.conv(woven, 2)), mirrored)


def enlarged():
    """Every pixel sixteen times: as many layers make the tensor."""
    net = Net(11, x=(2, 7, 5))
    large = net.rearrange(np.arange(2 * 7 * 5).reshape(2, 7, 5).repeat(4, axis=1).repeat(4, axis=2), "x")
    return net.build(net.conv(large, 3, (3, 3), padding=(1, 1, 1, 1)))


def several_ends():
    net = Net(9, x=(2, 9, 8), y=(4, 9, 8))
    first = net.layer(net.term("x", 4), net.term("y", 4))
    second = net.conv(first, 4, (3, 3), padding=(1, 1, 1, 1))
    return net.build(first, net.conv(second, 3, (3, 3)), "y")


def sequence():
    """Pixels in one column, which filters go along."""
    net = Net(10, x=(4, 70, 1))
    first = net.conv("x", 6, (5, 1), padding=(4, 0, 0, 0))
    deep = net.conv(first, 6, (5, 1), groups=6, dilation=(3, 1), padding=(12, 0, 0, 0))
    return net.build(net.layer(net.term(deep, 6), net.term(first, 6)))


CORNERS = {
    item.__name__: item
    for item in (
        odd_heights,
        dilated,
        stem,
        strided_residual,
        fused_pools,
        inverted_residuals,
        whole_pictures,
        rearranged,
        several_ends,
        enlarged,
        sequence,
    )
}
