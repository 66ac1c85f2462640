"""Group pruning with retraining, until the accuracy no longer holds (CN111242287A).

The layers are pruned one after the other, the most sensitive first. A pass masks groups beyond the layer's threshold,
which stay zero, and retrains the network; then the next layer has its turn, and after the last one the first again,
whose threshold (the mean norm of the groups that are left) is another one by then. A pass is judged on integers: where
the accuracy does not hold it is undone, and the layer's step is halved; a layer whose step becomes too small is
finished. Before any training a smaller step is taken where pruning alone would cost too much. It ends when all layers
are finished, or bear nothing more; what is left is then retrained for longer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

from numpy.typing import NDArray

from hwquant import training
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.pruning.groups import convolutions
from hwquant.pruning.judge import Judge
from hwquant.pruning.options import PruneOptions, RetrainOptions
from hwquant.pruning.permute import permute
from hwquant.pruning.reorder import reorder
from hwquant.pruning.sensitivity import Cut, Trials, measure
from hwquant.pruning.state import STATE, PruneResult, PruningPass, State, pruned_share
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.quantize.calibration import Data

if TYPE_CHECKING:
    from hwquant.training import Checkpoint, TrainableNetwork, Training

FINAL = 6.0
"""Epochs of the retraining in the end over those of a pass: a pass makes up for one layer, the end for all."""
LOOK_AHEAD = 1.0
"""The threshold factor by which filters are packed before pruning: what is below the mean will mostly go."""


def prune(
    graph: Graph,
    retraining: Training,
    validation: tuple[NDArray[Any], NDArray[Any]],
    calibration: NDArray[Any] | Data,
    options: PruneOptions | None = None,
    quantizer: QuantizeOptions | None = None,
) -> PruneResult:
    """Prune a trained network (CN111242287A); the same arguments give the same result.

    Parameters
    ----------
    graph : Graph
        The network, trained; weights that are zero already stay so.
    retraining : Training
        What the network is retrained with after each pass, by default with :class:`RetrainOptions`; the epochs are
        those of one pass. Its ``evaluate`` stays None, as the validation samples decide.
    validation : tuple of arrays
        Samples x, (N, *shape), and labels y, (N,), that decide; they are not to be trained on.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        Typical inputs, to quantize with.
    options : PruneOptions, optional
        What to prune, and how much accuracy it may cost.
    quantizer : QuantizeOptions, optional
        How the network is quantized, to be judged and in the end.

    Returns
    -------
    PruneResult
        The pruned network, float and as integers, and how it came about.

    Raises
    ------
    HwquantError
        The options name a layer that is not there, nothing can be pruned, the training diverges, or the checkpoint is
        of another pruning.

    Examples
    --------
    Method 3, for a 4x4 array, which then takes fewer cycles; the zeros are in the float network, too:

    >>> import hwquant
    >>> from hwquant import demo
    >>> graph = hwquant.load_model(demo.MODEL)
    >>> calibration = hwquant.load_samples(demo.CALIBRATION, graph.inputs).x
    >>> samples = hwquant.load_samples(demo.TEST_DATA, graph.inputs)
    >>> train, validation, test = samples[:160], samples[160:260], samples[260:]
    >>> retraining = hwquant.Training(train.pair(), hwquant.RetrainOptions(epochs=3, batch_size=16))
    >>> options = hwquant.PruneOptions(array=(4, 4), max_drop=3, passes=2)
    >>> result = hwquant.prune_network(graph, retraining, validation.pair(), calibration, options)
    >>> result.after.cycles < result.before.cycles, result.after.integer >= result.before.integer - 0.03
    (True, True)
    >>> sum(int((node.weight == 0).sum()) for node in result.graph.nodes if hasattr(node, "weight")) > 0
    True
    """
    options = PruneOptions() if options is None else options
    quantizer = QuantizeOptions() if quantizer is None else quantizer
    options.check(graph)
    if retraining.evaluate is not None:
        raise HwquantError("pruning evaluates on the validation samples; leave evaluate out of the training")
    retraining = replace(retraining, options=retraining.options or RetrainOptions())
    file = retraining.open_checkpoint(
        "prune",
        network=graph,
        validation_data=validation,
        calibration_data=calibration,
        pruning_options=options,
        quantizer_options=quantizer,
    )
    if options.reorder:
        graph = reorder(graph, options.array, LOOK_AHEAD, options.prune).graph
    run = _Run(Judge(*validation, calibration, quantizer, options.array), options, retraining)
    network = training.TrainableNetwork(graph, {node.name: node.weight != 0 for node in convolutions(graph)})
    saved = {} if file is None else file.part("prune", {"network": dict, "state": STATE})
    if file is not None and saved:
        file.restore(network, saved["network"])
        state = State(**saved["state"])
    else:
        state = run.begin(network)
    while True:
        if file is not None:
            file.save(prune={"network": network.state_dict(), "state": copy.deepcopy(vars(state))})
        cuts = run.choose(network, state) if len(state.passes) < options.passes else []
        if not cuts:
            break
        candidate = run.masked(network, cuts)
        stage = f"pass {len(state.passes) + 1}"
        training.fit(candidate, retraining, checkpoint=file, stage=stage)
        network = candidate if run.judge(candidate, cuts, state) else network
    network = run.finish(network, state, file)
    return run.result(network, state)


@dataclass(frozen=True, eq=False)
class _Run:
    """The steps of a pruning; they change the state."""

    decides: Judge
    options: PruneOptions
    training: Training

    def begin(self, network: TrainableNetwork) -> State:
        """Measure what the network can do, and how sensitive its layers are."""
        before = asdict(self.decides.verdict(network))
        samples = self.decides.x, self.decides.y
        found = measure(network.to_graph(), *samples, self.options, self.training.progress)
        queue = [item.layer for item in found]
        steps = dict.fromkeys(queue, self.options.step)
        return State(before, before, [asdict(item) for item in found], queue, steps, [])

    def choose(self, network: TrainableNetwork, state: State) -> Sequence[Cut]:
        """Choose what the next pass prunes; layers that do not bear it let their turn pass."""
        trials = Trials.of(network.to_graph(), self.decides.x, self.decides.y, self.options)
        nodes = {node.name: node for node in convolutions(trials.graph)}
        cuts = []
        for layer in list(state.queue):
            found = trials.bearable(nodes[layer], state.steps[layer])
            if found is None:
                state.queue.remove(layer)
                state.queue.append(layer)
                continue
            cuts.append(found)
            if self.options.order == "sensitivity":
                break
        if not cuts and not state.passes:
            self._check_bearable(trials, state)
        match self.options.order:
            case "sensitivity" | "together":
                return cuts
            case "cycles":
                least = 1 / len(trials.x)  # the drop of a single sample
                return sorted(cuts, key=lambda cut: -trials.saved(cut) / max(cut.drop, least))[:1]
            case _:
                assert_never(self.options.order)

    def _check_bearable(self, trials: Trials, state: State) -> None:
        """Raise where there is something to prune, and no layer bears it."""
        cuts = [trials.cut(node, self.options.step) for node in convolutions(trials.graph)]
        if any(cuts):
            least = min(state.sensitivities, key=lambda item: item["drop"])
            raise HwquantError(
                f"every convolution is too sensitive: {least['layer']!r} loses least, {100 * least['drop']:.1f} "
                f"points; raise max_sensitivity, which is {self.options.max_sensitivity:g}, or lower least_step"
            )

    def masked(self, network: TrainableNetwork, cuts: Sequence[Cut]) -> TrainableNetwork:
        """Make the network of a pass, not yet retrained."""
        graph = network.to_graph()
        masks = {node.name: node.weight != 0 for node in convolutions(graph)}
        return training.TrainableNetwork(graph, masks | {cut.layer: cut.keep for cut in cuts})

    def judge(self, candidate: TrainableNetwork, cuts: Sequence[Cut], state: State) -> bool:
        """Decide whether the accuracy holds; where it does not, the layers of the pass take smaller steps."""
        floor = state.before["integer"] - self.options.max_drop / 100
        met = self._record(candidate, cuts, state, self.training.chosen.epochs, floor)
        for cut in cuts:
            step = cut.step if met else cut.step / 2
            state.steps[cut.layer] = step
            state.queue.remove(cut.layer)
            if met or not (cut.smallest or step < self.options.least_step):
                state.queue.append(cut.layer)
        return met

    def finish(self, network: TrainableNetwork, state: State, file: Checkpoint | None) -> TrainableNetwork:
        """Retrain what is left for longer; where that makes it worse, it stays as it was."""
        chosen, epochs = self.training.chosen, self.options.final_epochs
        epochs = FINAL * chosen.epochs if epochs is None else epochs
        if not epochs or not any(item["met"] for item in state.passes):
            return network
        candidate = self.masked(network, [])
        longer = replace(self.training, options=replace(chosen, epochs=epochs))
        training.fit(candidate, longer, checkpoint=file, stage="final")
        kept = self._record(candidate, [], state, epochs, state.after["integer"])
        return candidate if kept else network

    def _record(
        self,
        candidate: TrainableNetwork,
        cuts: Sequence[Cut],
        state: State,
        epochs: float,
        least: float,
    ) -> bool:
        """Judge a retrained network, and add what was found to the passes."""
        verdict = self.decides.verdict(candidate)
        met = verdict.integer >= least
        layers, steps = [cut.layer for cut in cuts], [cut.step for cut in cuts]
        pruned = pruned_share(candidate.to_graph())
        state.passes.append(asdict(PruningPass(layers, steps, float(epochs), pruned, verdict, met)))
        if self.training.progress:
            stage = f"pass {len(state.passes)} {'kept' if met else 'undone'}"
            achieved = f"accuracy {verdict.integer:.2%} as integers, tiles skipped {verdict.skipped:.1%}"
            note = f"{', '.join(layers) or 'final'}; {achieved}"
            total = max(self.options.passes, len(state.passes))
            self.training.progress(stage, len(state.passes), total, note)
        if met:
            state.after = asdict(verdict)
        return met

    def result(self, network: TrainableNetwork, state: State) -> PruneResult:
        """Quantize what is left, packed into tiles where that is asked for."""
        judge, graph, result = self.decides, network.to_graph(), state.result
        qgraph = quantize(graph, judge.calibration, judge.quantizer, progress=self.training.progress)
        if not self.options.reorder:
            return result(graph, qgraph)
        found = reorder(graph, self.options.array)
        graph, qgraph = found.graph, permute(qgraph, found.orders)
        return result(graph, qgraph, judge.verdict(training.TrainableNetwork(graph), qgraph))
