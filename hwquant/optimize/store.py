"""Pruned float networks in files, as they take long to make again.

A file says what it belongs to, as the journal beside it does; one of something else, or a damaged one, counts as
absent and is made again. Without a folder everything is kept in memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import container
from hwquant.errors import Damaged
from hwquant.files import make_folder
from hwquant.graph import Conv, Graph

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
        self._kept: dict[str, Graph] = {}
        if folder is not None:
            make_folder(folder)

    @property
    def journal(self) -> Path | None:
        """File of the candidates that were judged."""
        return None if self._folder is None else self._folder / JOURNAL

    def keep(self, name: str, pruned: Graph) -> None:
        """Keep a network that differs from the dense one in the weights and biases of convolutions."""
        self._kept[name] = pruned
        if self._folder is not None:
            arrays = {
                f"{index}/{part}": array
                for index, node in enumerate(pruned.nodes)
                if isinstance(node, Conv)
                for part, array in (("weight", node.weight), ("bias", node.bias))
            }
            container.write(self._path(self._folder, name), KIND, VERSION, {"of": self._of(name)}, arrays)

    def get(self, name: str) -> Graph | None:
        """Look a network up; None where it is not known, or of something else."""
        if name in self._kept or self._folder is None or not self._path(self._folder, name).exists():
            return self._kept.get(name)
        try:
            meta, arrays = container.read(self._path(self._folder, name), KIND, VERSION)
        except Damaged:
            return None
        of: Any = meta.get("of")
        return _with_weights(self._graph, arrays) if of == self._of(name) else None

    def _of(self, name: str) -> dict[str, str]:
        return {"owner": self._owner, "name": name}

    def _path(self, folder: Path, name: str) -> Path:
        return folder / f"{name}.pruned"


def _with_weights(graph: Graph, arrays: dict[str, NDArray[Any]]) -> Graph | None:
    """Put weights and biases into a network; None where they are not those of its convolutions."""
    nodes = list(graph.nodes)
    for index, node in enumerate(nodes):
        if isinstance(node, Conv):
            weight, bias = arrays.get(f"{index}/weight"), arrays.get(f"{index}/bias")
            if weight is None or bias is None:
                return None
            if not (_is_like(weight, node.weight) and _is_like(bias, node.bias)):
                return None
            nodes[index] = replace(node, weight=weight, bias=bias)
    return replace(graph, nodes=tuple(nodes))


def _is_like(array: NDArray[Any], dense: NDArray[Any]) -> bool:
    """Whether these may be a dense network's numbers, pruned."""
    return array.dtype.kind == "f" and array.shape == dense.shape and bool(np.isfinite(array).all())
