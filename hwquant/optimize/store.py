"""What takes long to make again, in files: pruned float networks, and integer networks that were trained.

A file says what it belongs to, as the journal beside it does; one of something else, or a damaged one, counts as
absent and is made again. Without a folder everything is kept in memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hwquant import container, hwq
from hwquant.errors import Damaged, HwquantError
from hwquant.files import make_folder
from hwquant.fingerprint import fingerprint
from hwquant.graph import Conv, Graph
from hwquant.qgraph import QGraph
from hwquant.search.evaluate import network_checksum
from hwquant.search.space import Configuration

JOURNAL = "journal"
KIND, VERSION = "pruned network", 1


class Store:
    """Networks by name.

    Parameters
    ----------
    folder : Path or None
        The folder, made where it is missing; None keeps everything in memory.
    graph : Graph
        The dense float network.
    owner : str
        Checksum of all that the networks depend on.

    Raises
    ------
    HwquantError
        The folder cannot be made.
    """

    def __init__(self, folder: Path | None, graph: Graph, owner: str) -> None:
        self._folder, self._graph, self._owner = folder, graph, owner
        self._kept: dict[str, Any] = {}
        if folder is not None:
            make_folder(folder)

    @property
    def journal(self) -> Path | None:
        """File of the candidates that were judged."""
        return None if self._folder is None else self._folder / JOURNAL

    def keep_pruned(self, name: str, pruned: Graph) -> None:
        """Keep a network that differs from the dense one in the weights and biases of convolutions."""
        self._kept[name] = pruned
        if self._folder is not None:
            arrays = {
                f"{index}/{part}": array
                for index, node in enumerate(pruned.nodes)
                if isinstance(node, Conv)
                for part, array in (("weight", node.weight), ("bias", node.bias))
            }
            container.write(
                self._folder / f"{name}.pruned", KIND, VERSION, {"of": {"owner": self._owner}}, arrays
            )

    def pruned(self, name: str) -> Graph | None:
        """Look a pruned network up; None where it is not known, or of something else."""
        if name not in self._kept and self._folder is not None and (self._folder / f"{name}.pruned").exists():
            try:
                meta, arrays = container.read(self._folder / f"{name}.pruned", KIND, VERSION)
            except Damaged:
                return None
            known: Any = meta.get("of")
            if known != {"owner": self._owner}:
                return None
            self._kept[name] = _with_weights(self._graph, arrays)
        return self._kept.get(name)

    def keep_trained(self, configuration: Configuration, network: QGraph) -> None:
        """Keep a trained network."""
        name = _trained(configuration)
        self._kept[name] = network
        if self._folder is not None:
            hwq.save(network, self._folder / name)

    def trained(self, configuration: Configuration, checksum: str) -> QGraph | None:
        """Look a trained network up; None where it is not known, or its integers have another checksum."""
        name = _trained(configuration)
        if name not in self._kept and self._folder is not None and (self._folder / name).exists():
            try:
                self._kept[name] = hwq.load(self._folder / name)
            except HwquantError:
                return None
        network = self._kept.get(name)
        return network if network is not None and network_checksum(network) == checksum else None


def _trained(configuration: Configuration) -> str:
    return f"trained-{fingerprint(configuration)[:16]}.hwq"


def _with_weights(graph: Graph, arrays: dict[str, NDArray[Any]]) -> Graph | None:
    """Put weights and biases into a network; None where they are not those of its convolutions."""
    nodes = list(graph.nodes)
    for index, node in enumerate(nodes):
        if isinstance(node, Conv):
            weight, bias = arrays.get(f"{index}/weight"), arrays.get(f"{index}/bias")
            if (
                weight is None
                or bias is None
                or (weight.shape, bias.shape) != (node.weight.shape, node.bias.shape)
            ):
                return None
            nodes[index] = replace(node, weight=weight, bias=bias)
    return replace(graph, nodes=tuple(nodes))
