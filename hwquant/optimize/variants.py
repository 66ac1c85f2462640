"""The network pruned for a few arrays, as it is after each pass: what candidates choose from.

How many of its tiles a network can spare, and what they save, depends on the array and on the bits, so all depths are
kept, and the search decides. A pass is one of :func:`hwquant.pruning.prune`, with retraining; passes go on as long as
what the float network loses may come back (``OptimizeOptions.worth_training``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from hwquant.data import Samples
from hwquant.fingerprint import fingerprint
from hwquant.graph import Graph
from hwquant.optimize.options import OptimizeOptions
from hwquant.optimize.store import Store
from hwquant.program.sides import Array, array_name
from hwquant.progress import Progress
from hwquant.pruning import PruneOptions, RetrainOptions, prune
from hwquant.quantize.calibration import Data
from hwquant.search.evaluate import one_thread
from hwquant.search.tuning import one_torch_thread
from hwquant.workers import Workers

if TYPE_CHECKING:
    from hwquant.training import Training


@dataclass(frozen=True)
class Variant:
    """A float network that candidates are made of.

    Attributes
    ----------
    graph : Graph
        The network.
    array : tuple of int or None
        The array whose tiles were pruned; None for the dense network.
    depth : int
        Passes that pruned it, 0 for the dense one.
    """

    graph: Graph
    array: Array | None = None
    depth: int = 0

    def __str__(self) -> str:
        if self.array is None:
            return "dense"
        return f"pruned for {array_name(self.array)}, pass {self.depth}"


@dataclass(frozen=True, eq=False)
class Pass:
    """A pass of pruning, as workers do it.

    Attributes
    ----------
    training : Training
        What the network is retrained with.
    validation : Samples
        Labelled samples that decide.
    calibration : mapping of ndarray
        Calibration data by name of input.
    options : OptimizeOptions
        How much a pass prunes, and what may be lost.
    lowest : float
        Validation accuracy, 0..1, that the float network must keep.
    """

    training: Training
    validation: Samples
    calibration: Data
    options: OptimizeOptions
    lowest: float

    def __call__(self, item: tuple[Graph, Array]) -> Graph | None:
        """Prune a network once more for an array; None where it then loses too much, or nothing can go."""
        graph, array = item
        with one_thread(), one_torch_thread():
            found = prune(
                graph,
                self.training,
                self.validation.pair(),
                self.calibration,
                self._options(array),
                self.options.quantizer,
            )
        if not found.passes or found.after.floating < self.lowest:
            return None
        # What a candidate is says how it was pruned; a network that is found again in a store has no other history.
        return replace(found.graph, history=graph.history)

    def _options(self, array: Array) -> PruneOptions:
        """All layers in one pass, whatever it costs: who loses too much is left out afterwards."""
        step = self.options.step
        return PruneOptions(
            array=array,
            order="together",
            passes=1,
            step=step,
            least_step=min(0.1, step),
            max_drop=100.0,
            final_epochs=0,
        )


def pruned_variants(
    dense: Graph,
    arrays: Sequence[Array],
    one_pass: Pass,
    store: Store,
    workers: Workers[tuple[Graph, Array], Graph | None],
    progress: Progress | None,
) -> list[Variant]:
    """Prune a network for each of some arrays, pass by pass; what the store has is not done again.

    Parameters
    ----------
    dense : Graph
        The network.
    arrays : sequence of tuple of int
        The arrays.
    one_pass : Pass
        What a pass does.
    store : Store
        Where pruned networks are kept.
    workers : Workers
        Who prunes; arrays are pruned side by side.
    progress : Progress or None
        Told of every pass.

    Returns
    -------
    list of Variant
        The dense network, then for each array the network after each pass, in order.
    """
    chains: dict[Array, list[Graph]] = {array: [dense] for array in arrays}
    active, done, total = list(arrays), 0, len(arrays) * one_pass.options.passes
    for depth in range(1, one_pass.options.passes + 1):
        found = {array: store.get(_name(array, depth)) for array in active}
        missing = [array for array in active if found[array] is None]
        for index, graph in workers([(chains[array][-1], array) for array in missing]) if missing else ():
            found[missing[index]] = graph
            # The network that was pruned too much is not used: to keep the one before says that it was the last.
            store.keep(_name(missing[index], depth), graph or chains[missing[index]][-1])
            done += 1
            if progress is not None:
                progress("prune", done, total)
        for array in list(active):
            graph = found[array]
            if graph is None or fingerprint(graph) == fingerprint(chains[array][-1]):
                active.remove(array)
            else:
                chains[array].append(graph)
    return [
        Variant(dense),
        *(
            Variant(graph, array, depth)
            for array, chain in chains.items()
            for depth, graph in enumerate(chain[1:], 1)
        ),
    ]


def _name(array: Array, depth: int) -> str:
    return f"{array_name(array)}-{depth}"


def quick(training: Training, options: OptimizeOptions) -> Training:
    """Make the training of a pass of that of a finalist; where that finds its rate itself, the pass has its own."""
    chosen = asdict(training.chosen) | {"epochs": options.prune_epochs}
    own = RetrainOptions(
        **{name: value for name, value in chosen.items() if name != "lr" or value is not None}
    )
    return replace(training, options=own, validation=None)
