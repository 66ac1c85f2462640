"""Random small integer networks, seeded: the input space of whatever runs whole networks.

==============  ===========================================================
``features``    what networks may contain
``builder``     a network, layer by layer, whose values use their bits
``copies``      pixels and channels in another order
``products``    products of two tensors
``families``    the networks of a regression: what suits an array, by seed
==============  ===========================================================
"""

from hwquant.random_networks.builder import random_images, random_inputs, random_qgraph
from hwquant.random_networks.families import random_case
from hwquant.random_networks.features import PLAIN, Features

__all__ = ["PLAIN", "Features", "random_case", "random_images", "random_inputs", "random_qgraph"]
