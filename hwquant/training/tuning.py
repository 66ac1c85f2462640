"""What all methods that fine-tune a network to integers have in common, from the float network to the best one.

A network that is quantized without training is where training begins, what it is measured against, and what is returned
where training lost: see :mod:`hwquant.training.guard`. Where no learning rate is given, one is found.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from hwquant.history import Step, with_steps
from hwquant.qgraph import QGraph
from hwquant.quantize import Observed, QuantizeOptions, quantize_observed
from hwquant.training.checkpoint import FIT, Checkpoint
from hwquant.training.distill import distilled
from hwquant.training.guard import TRAINED, Guard, hold_out
from hwquant.training.loop import EpochResult, count_batches, fit, named_optimizer
from hwquant.training.quantized import QuantizedNetwork
from hwquant.training.rate import RATES, TRIAL_SHARE, find_rate
from hwquant.training.training import Training

Calibration = NDArray[Any] | Mapping[str, NDArray[Any]]
Convert = Callable[[QuantizedNetwork], None]
UNTRAINED = {"compensated": True, "direct": False}
"""The networks without training, by whether each weight makes up for the errors of those before it."""
LEAST_TRIAL_STEPS = 30
JUDGED_SHARE = 0.1
"""Of all epochs: a stage that is shorter is not worth a look at the samples that decide."""
ROW = {"name": str, "frozen": float, "loss": (float, None), "score": (float, None)}
"""The form of a stage's row in the report, which a checkpoint holds too."""
FOUND = {"start": str, "lr": float, "trials": [{"start": str, "lr": float, "loss": (float, None)}]}
BEST = {"name": str, "loss": float, "network": dict}
"""The forms of the start and the learning rate that were found, and of the best epoch, in a checkpoint."""


@dataclass(frozen=True)
class Stage:
    """A step of a method: what becomes an integer, after which the rest is trained.

    Attributes
    ----------
    name : str
        Name of the stage, in reports and checkpoints.
    convert : callable
        The function that makes integers of a part of a :class:`QuantizedNetwork`.
    share : float
        Share of all epochs that the rest is trained for.
    least_steps : int, default 0
        Steps that it is trained for at least, where it is trained.
    """

    name: str
    convert: Convert
    share: float
    least_steps: int = 0


@dataclass(frozen=True)
class Method:
    """A way to fine-tune.

    Attributes
    ----------
    name : str
        Its name in checkpoints, and in the ``options`` of the network.
    command : str
        The command that does it.
    stages : sequence of Stage
        The stages in order.
    summary : mapping
        Its options as plain JSON values.
    literal : bool
        Training begins with the float network, learns the labels, and its result is returned whatever it is.
    """

    name: str
    command: str
    stages: Sequence[Stage]
    summary: Mapping[str, Any]
    literal: bool


def tune(
    method: Method,
    observed: Observed,
    training: Training,
    calibration: Calibration,
    options: QuantizeOptions,
) -> QGraph:
    """Fine-tune a float network to integers by a method, and return the best network there is.

    Parameters
    ----------
    method : Method
        Its stages.
    observed : Observed
        The trained float network, and what is known of it.
    training : Training
        What is trained with.
    calibration : ndarray of real numbers, shape (N, *shape), or mapping of them
        The inputs that it was observed on, which a checkpoint depends on.
    options : QuantizeOptions
        Options of the quantizer.

    Returns
    -------
    QGraph
        The network, with a report in its ``options``.

    Raises
    ------
    HwquantError
        Options that the network does not suit, training data of which none can be held back, a training that
        diverges, or a checkpoint of another one.
    """
    network = QuantizedNetwork(observed, options)
    checkpoint = training.open_checkpoint(
        method.name,
        network=observed.graph,
        calibration_data=calibration,
        validation_data=training.validation,
        quantizer_options=[options, method.summary],
        tuning_options=training.tuned,
    )
    training, source = hold_out(training)
    guard = Guard(training, source)
    candidates = {name: _untrained(network, name) for name in UNTRAINED}
    labels = method.literal and training.tuned.distill is None
    taught = training if labels else distilled(training, observed.graph)
    asked = training.tuned.start
    starts = {name: _begun(network, candidates[name]) for name in UNTRAINED if asked in ("auto", name)}
    taught, begun, found = _prepared(starts, taught, guard, checkpoint)
    run = _Run(network if method.literal else starts[begun], taught, guard, checkpoint)
    rows = run.train(method.stages)
    trained = run.candidates()
    candidates |= trained
    wanted = TRAINED if method.literal else None
    if training.tuned.returns == "trained" and not method.literal:
        wanted = guard.choose(trained).best
    verdict = guard.choose(candidates, wanted)
    returned = verdict.returned
    report = {
        **method.summary,
        "training": {**training.chosen.as_json(), **training.tuned.as_json()},
        **found,
        "stages": rows,
        "guard": verdict.as_json(),
    }
    chosen = (
        candidates[returned] if returned not in UNTRAINED else _untrained(network, returned, described=True)
    )
    step = Step(
        method.command, f"{training.chosen.epochs:g} epochs, learning rate {found['lr']:g}; {verdict}"
    )
    return replace(chosen, options=with_steps({**chosen.options, method.name: report}, [step]))


def _untrained(network: QuantizedNetwork, name: str, described: bool = False) -> QGraph:
    """What the quantizer makes of the float network without training."""
    options = replace(network.options, error_compensation=UNTRAINED[name])
    return quantize_observed(network.observed, options, described=described)


def _begun(network: QuantizedNetwork, qgraph: QGraph) -> QuantizedNetwork:
    """A copy of a network that is still float, with the weights of an integer one."""
    result = network.duplicate()
    result.adopt(qgraph)
    return result


def _prepared(
    starts: Mapping[str, QuantizedNetwork], training: Training, guard: Guard, checkpoint: Checkpoint | None
) -> tuple[Training, str, dict[str, Any]]:
    """The training with a learning rate, the name of the network to begin with, and what is to be reported of it."""
    options = training.chosen
    found: dict[str, Any]
    if options.lr is not None or training.optimizer is not None or options.epochs == 0:
        found = {"start": next(iter(starts)), "lr": options.rate, "trials": []}
        return training, found["start"], found
    found = {} if checkpoint is None else checkpoint.part("found", FOUND)
    if checkpoint is not None and found and not (found["lr"] in RATES and found["start"] in starts):
        raise checkpoint.damaged("its learning rate is none that is tried")
    if not found:
        count = count_batches(training)
        epochs = options.epochs * TRIAL_SHARE
        epochs = max(1.0, epochs) if count is None else max(LEAST_TRIAL_STEPS / count, epochs)
        found = find_rate(starts, training, guard, epochs)
        if checkpoint is not None:
            checkpoint.save(found=found)
    return replace(training, options=replace(options, lr=found["lr"])), found["start"], found


class _Run:
    """The stages of a method, one after the other, from the one that the checkpoint was written in."""

    def __init__(
        self, network: QuantizedNetwork, training: Training, guard: Guard, checkpoint: Checkpoint | None
    ) -> None:
        self._network, self._training, self._guard = network, training, guard
        self._checkpoint = checkpoint
        self._best: dict[str, Any] = {} if checkpoint is None else dict(checkpoint.part("best", BEST))
        self._last = ""

    def train(self, stages: Sequence[Stage]) -> list[dict[str, Any]]:
        """Go through the stages; their rows for the report."""
        network, checkpoint, options = self._network, self._checkpoint, self._training.chosen
        # One for all stages: new moments in each would shake weights that are settled.
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        optimizer = (self._training.optimizer or named_optimizer(options))(parameters)
        saved: Mapping[str, Any] = {}
        rows: list[dict[str, Any]] = []
        if checkpoint is not None and "fit" in checkpoint.state:
            saved = checkpoint.part("fit", FIT, needed=True)
            rows = list(checkpoint.part("stages", {"rows": [ROW]}).get("rows", []))
            checkpoint.restore(network, saved["network"])
            checkpoint.restore_optimizer(optimizer, saved["optimizer"])
        lengths = _epochs(stages, options.epochs, count_batches(self._training))
        begin, total = 0.0, sum(lengths) or 1.0
        for index, (stage, epochs) in enumerate(zip(stages, lengths)):
            begin, span = begin + epochs / total, (begin, begin + epochs / total)
            judged = epochs / total >= JUDGED_SHARE or index == len(stages) - 1
            if judged and epochs:
                self._last = f"{stage.name}, epoch {math.ceil(epochs)}"
            if index < len(rows):
                continue
            if saved.get("stage") != stage.name:
                stage.convert(network)
            part = replace(
                self._training, options=replace(options, epochs=epochs), optimizer=lambda _: optimizer
            )
            results = fit(
                network,
                part,
                checkpoint=checkpoint,
                stage=stage.name,
                span=span,
                after_epoch=partial(self._look, stage.name) if judged else None,
            )
            rows.append({"name": stage.name, "frozen": _frozen_share(network), **_outcome(results)})
            if checkpoint and results:
                checkpoint.save(stages={"rows": rows})
        return rows

    def candidates(self) -> dict[str, QGraph]:
        """The integer networks that came of it: the last one, and the best one if that is another."""
        self._network.freeze_all()
        result = {TRAINED: self._network.to_qgraph()}
        if self._best and self._best["name"] != self._last:
            if self._checkpoint is None:
                self._network.load_state_dict(self._best["network"])
            else:
                self._checkpoint.restore(self._network, self._best["network"])
            self._network.freeze_all()
            result[f"{TRAINED}, {self._best['name']}"] = self._network.to_qgraph()
        return result

    def _look(self, stage: str, epoch: int) -> None:
        """Keep the network if it is the best so far; one that is not rounded throughout is not judged."""
        if not self._network.rounded:
            return
        loss = self._guard.loss(self._network)
        if not self._best or loss < self._best["loss"]:
            state = copy.deepcopy(self._network.state_dict())
            self._best = {"name": f"{stage}, epoch {epoch}", "loss": loss, "network": state}
            if self._checkpoint is not None:
                self._checkpoint.state["best"] = self._best  # written with the epoch


def _epochs(stages: Sequence[Stage], epochs: float, batches: int | None) -> list[float]:
    """Epochs of each stage: its share, or its least number of steps."""
    if epochs == 0 or batches is None:
        return [stage.share * epochs for stage in stages]
    return [max(stage.share * epochs, stage.least_steps / batches) for stage in stages]


def _outcome(results: Sequence[EpochResult]) -> dict[str, Any]:
    last = results[-1] if results else None
    return {"loss": last.loss if last else None, "score": last.score if last else None}


def _frozen_share(network: QuantizedNetwork) -> float:
    frozen = [network.frozen(node) for node in network.convolutions]
    return sum(int(mask.sum()) for mask in frozen) / sum(mask.numel() for mask in frozen)
