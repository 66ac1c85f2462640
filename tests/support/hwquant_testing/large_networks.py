"""Networks of which neither weights nor activations fit into a small chip, as integers: random, of their real shapes.

What is added to sums is scaled by a power of two, as where shifts alone scale: so its tiles come several times.
"""

import numpy as np
from hwquant_testing.small_networks import Net

SAME = {"padding": (1, 1, 1, 1)}
ADDED = {64: 4, 128: 5, 256: 6, 512: 6}
"""By channels: by how much a tensor is shifted that is added, of a ResNet."""
INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of MobileNetV2: how much wider blocks are inside, their channels, their number, and the first one's stride."""


def added(net, name, shift):
    """A tensor that is added to sums, shifted."""
    channels = net.tensors[name].shape[0]
    return net.term(name, channels, codes=np.full((channels, 1, 1, 1), 64), groups=channels, shift=shift)


def basic_block(net, x, channels, stride=1):
    """A block of a ResNet with two convolutions."""
    first = net.conv(x, channels, (3, 3), stride=(stride, stride), **SAME)
    second = net.term(first, channels, (3, 3), **SAME)
    if stride == 1:
        return net.layer(second, added(net, x, ADDED[channels]))
    return net.layer(second, net.term(x, channels, stride=(stride, stride), shift=ADDED[channels] - 3))


def mean(net, x):
    """The sum over each channel's pixels, shifted."""
    channels, *size = net.tensors[x].shape
    return net.conv(x, channels, tuple(size), groups=channels, codes=np.ones((channels, 1, *size)))


def resnet_stem(net, x):
    """The first layers of a ResNet."""
    first = net.conv(x, 64, (7, 7), stride=(2, 2), padding=(3, 3, 3, 3))
    return net.pool(first, (3, 3), (2, 2), **SAME)


def resnet18(size=224):
    """ResNet18 for pictures of so many rows and columns."""
    net = Net(x=(3, size, size))
    last = resnet_stem(net, "x")
    for channels in ADDED:
        last = basic_block(net, last, channels, 1 if channels == 64 else 2)
        last = basic_block(net, last, channels)
    net.conv(mean(net, last), 1000)
    return net.build()


def mobilenetv2(size=224):
    """MobileNetV2 for pictures of so many rows and columns."""
    net = Net(x=(3, size, size))
    last = net.conv("x", 32, (3, 3), stride=(2, 2), **SAME)
    for wider, channels, count, stride in INVERTED:
        for number in range(count):
            x, inside = last, net.tensors[last].shape[0] * wider
            step = stride if number == 0 else 1
            last = net.conv(x, inside) if wider > 1 else x
            last = net.conv(last, inside, (3, 3), groups=inside, stride=(step, step), **SAME)
            terms = [net.term(last, channels)]
            if number:
                terms.append(added(net, x, 4))
            last = net.layer(*terms)
    net.conv(mean(net, net.conv(last, 1280)), 1000)
    return net.build()


def part_of_resnet18(name):
    """Layers of ResNet18 as a network of their own."""
    if name == "first":
        net = Net(x=(3, 224, 224))
        resnet_stem(net, "x")
    elif name == "middle":
        net = Net(x=(128, 28, 28))
        basic_block(net, basic_block(net, "x", 128), 256, 2)
    else:
        net = Net(x=(512, 7, 7))
        net.conv(mean(net, basic_block(net, "x", 512)), 1000)
    return net.build()
