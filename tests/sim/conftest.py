"""Small networks that exercise much of the hardware, compiled for arrays of different shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from hwquant.golden import run as golden
from hwquant.program.compiler import compile_network
from hwquant.program.program import Program
from hwquant.qgraph import IntArray, Layer, QGraph
from hwquant.random_networks import PLAIN, Features, random_images, random_qgraph


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its program, three inputs."""

    qgraph: QGraph
    program: Program
    q: IntArray

    @property
    def frames(self) -> IntArray:
        """The inputs as the hardware takes them."""
        return self.program.frame({self.program.inputs[0].name: self.q})

    @property
    def expected(self) -> IntArray:
        """The golden model's output frames."""
        tensors = golden(self.qgraph, self.q)
        return np.concatenate([item.to_words(tensors[item.name]) for item in self.program.outputs], axis=1)

    @property
    def inputs(self) -> dict[str, IntArray]:
        """The inputs by name."""
        return {self.program.inputs[0].name: self.q}


def make_case(seed: int, features: Features, array: tuple[int, ...], offset: str, limits=None) -> Case:
    """A random network, compiled."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, features)
    if offset == "none":
        qgraph = without_offsets(qgraph)
    return Case(
        qgraph,
        # The host sends words; test_raw_inputs.py has hardware with a packer.
        compile_network(qgraph, array, offset=offset, limits=limits, pack_input="none"),
        random_images(rng, qgraph, 3),
    )


def without_offsets(qgraph: QGraph) -> QGraph:
    """A network with the stored weights of another, quantized symmetrically."""

    def plain(node):
        if not isinstance(node, Layer):
            return node
        terms = [replace(term, offset=np.zeros(1, np.int64), anchor="min", mask=None) for term in node.terms]
        return replace(node, terms=tuple(terms))

    return replace(qgraph, nodes=tuple(plain(node) for node in qgraph.nodes))


SMALL = Features(layers=(2, 2), channels=(3, 9), size=(5, 6))
SINGLE = replace(SMALL, per_channel=False)
CASES = {
    "4x4 edge": (58, SINGLE, (4, 4), "edge"),
    "8x8 sum": (1, SINGLE, (8, 8), "sum"),
    "4x8 none": (2, SINGLE, (4, 8), "none"),
    "8x4 edge per channel": (3, SMALL, (8, 4), "edge"),
    "3x5 sum per channel, multiplier": (17, replace(SMALL, multiplier=True), (3, 5), "sum"),
    "3x4x2, several arrays": (17, SINGLE, (3, 4, 2), "edge"),
}
"""Seed, network features, array, offset. Verilator builds each of them once, so there are few."""


@pytest.fixture(scope="session")
def case():
    """A case of :data:`CASES` by name, made once."""
    made = {}

    def get(name: str) -> Case:
        if name not in made:
            made[name] = make_case(*CASES[name])
        return made[name]

    return get


@pytest.fixture(scope="session")
def plain_case():
    """Convolutions and a fully connected layer on 3x2: several tiles, planes and write groups."""
    features = replace(PLAIN, layers=(2, 2), channels=(4, 5), size=(4, 5), pools=())
    return make_case(7, features, (3, 2), "edge", {"accumulator_depth": 12})


@pytest.fixture(scope="session")
def build_dir(tmp_path_factory):
    """Where the session's simulators are built: none from an earlier one is used."""
    return tmp_path_factory.mktemp("simulators")
