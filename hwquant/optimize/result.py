"""What the optimizer found: candidates, the front, the best 8-bit dense build, and the pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hwquant.boards.fit import choose_array
from hwquant.boards.shapes import Shapes
from hwquant.errors import DoesNotFit, HwquantError
from hwquant.history import Step, with_steps
from hwquant.optimize.hardware import MEASURES, SIDES, Measure, array_of, program_of
from hwquant.optimize.options import OptimizeOptions
from hwquant.optimize.space import Design
from hwquant.optimize.task import Task
from hwquant.optimize.variants import Variant
from hwquant.program.program import Program
from hwquant.program.sides import Array, array_name
from hwquant.qgraph import QGraph
from hwquant.search.evaluate import Item, Outcome, network_checksum, trained_network
from hwquant.search.objectives import ACCURACY
from hwquant.search.pareto import front
from hwquant.search.space import Configuration
from hwquant.search.tuning import Tuned


@dataclass(frozen=True)
class Candidate:
    """A network on its best array.

    Attributes
    ----------
    configuration : tuple of int
        What was chosen, in the order of the space's variables.
    design : Design
        The same in words.
    variant : str
        The float network, in words.
    made : bytes
        The network as a ``.hwq`` file has it, where it was trained; empty for one that quantization makes again.
    measures : mapping of float
        The accuracy on the validation samples, 0..1, and the numbers of
        :data:`~hwquant.optimize.hardware.HARDWARE`, by name.
    network : str
        Checksum of the network's integers.
    """

    configuration: Configuration
    design: Design
    variant: str
    made: bytes = field(repr=False)
    measures: Mapping[str, float]
    network: str

    @property
    def array(self) -> Array:
        """The array."""
        return array_of(self.measures)

    @property
    def trained(self) -> bool:
        """Whether the network is trained with its bits."""
        return bool(self.made)

    @property
    def accuracy(self) -> float:
        """Accuracy on the validation samples, 0..1."""
        return self.measures[ACCURACY]

    def to_json(self) -> dict[str, Any]:
        """Give choice and measures as plain JSON values."""
        design = self.design
        return {
            "network": self.variant,
            "trained": self.trained,
            "array": list(self.array),
            "offset": design.offset,
            "activation_bits": design.activation_bits,
            "bits": dict(design.bits),
            **{name: value for name, value in self.measures.items() if name not in SIDES},
        }


@dataclass(frozen=True, eq=False)
class OptimizeResult:
    """The outcome of an optimization.

    Attributes
    ----------
    options : OptimizeOptions
        The options.
    board : str
        Name of the board.
    float_accuracy : float
        Accuracy of the float network on the validation samples, 0..1.
    variants : tuple of Variant
        The float networks by their numbers.
    candidates : tuple of Candidate
        All candidates that work, in the order in which they were chosen.
    baseline : Candidate or None
        The best 8-bit dense build that fits; None where none does.
    no_baseline : str
        Why there is no baseline; empty where there is one.
    failed : mapping of str
        By configuration, or by configuration and training, why candidates do not work.
    task : Task
        What candidates were judged with.
    """

    options: OptimizeOptions
    board: str
    float_accuracy: float
    variants: tuple[Variant, ...]
    candidates: tuple[Candidate, ...]
    baseline: Candidate | None
    no_baseline: str
    failed: Mapping[Item, str]
    task: Task

    @classmethod
    def of(
        cls,
        task: Task,
        float_accuracy: float,
        variants: tuple[Variant, ...],
        outcomes: Mapping[Item, Outcome],
    ) -> OptimizeResult:
        """Collect the outcomes of all configurations, those of the baseline among them."""
        candidates = {
            key: _candidate(key, item, task, variants) for key, item in outcomes.items() if item.error is None
        }
        failed = {key: item.error for key, item in outcomes.items() if item.error is not None}
        eight = [candidates[key] for key in task.space.baseline if key in candidates]
        goal = MEASURES[task.options.objective]
        return cls(
            options=task.options,
            board=task.target.board,
            float_accuracy=float_accuracy,
            variants=variants,
            candidates=tuple(candidates.values()),
            baseline=min(eight, key=lambda item: _order(item, goal, task.options), default=None),
            no_baseline="" if eight else failed[task.space.baseline[0]],
            failed=failed,
            task=task,
        )

    @property
    def goal(self) -> Measure:
        """The number that is to be best."""
        return MEASURES[self.options.objective]

    @cached_property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other beats in accuracy and in the goal, the most accurate first."""
        ordered = sorted(self.candidates, key=lambda item: _order(item, self.goal, self.options))
        kept = front([[-item.accuracy, self.goal.cost(item.measures)] for item in ordered])
        return tuple(sorted((ordered[index] for index in kept), key=lambda item: -item.accuracy))

    def change(self, candidate: Candidate) -> float:
        """Count the points of accuracy that a candidate has more than the float network, below 0 where it has less."""
        return 100 * (candidate.accuracy - self.float_accuracy)

    def keeps(self, candidate: Candidate) -> bool:
        """Tell whether a candidate keeps to the limits of the options."""
        return not any(missed(candidate.measures, self.float_accuracy, self.options).values())

    def pick(self) -> Candidate:
        """Pick the candidate that is best in the goal, of those that keep to the limits.

        Raises
        ------
        DoesNotFit
            None does; the message says which comes nearest.
        """
        kept = [item for item in self.candidates if self.keeps(item)]
        if kept:
            return min(kept, key=lambda item: _order(item, self.goal, self.options))
        nearest = min(self.candidates, key=lambda item: _distance(item, self.float_accuracy, self.options))
        missing = missed(nearest.measures, self.float_accuracy, self.options)
        ways = {
            "max_drop": "raise --max-drop, train for more --epochs, ",
            "min_fps": "lower --min-fps, ",
        }
        remedy = "".join(way for name, way in ways.items() if missing[name])
        remedy += "raise --trials, or take a larger board"
        raise DoesNotFit(
            f"none of {len(self.candidates)} candidates keeps to the limits on {self.board}; the nearest loses "
            f"{max(0.0, -self.change(nearest)):.2f} points at {nearest.measures['fps']:,.0f} inferences a second; "
            f"{remedy}",
            resource="constraints",
            remedy=remedy,
        )

    def improvement(self, candidate: Candidate) -> float | None:
        """Say how many times better a candidate is than the baseline; None without one."""
        return None if self.baseline is None else self.goal.better(candidate.measures, self.baseline.measures)

    def network(self, candidate: Candidate) -> QGraph:
        """Make a candidate's integer network, which is the one that was judged.

        Raises
        ------
        Damaged
            The network that the journal has is not the one that was measured.
        HwquantError
            This machine makes other integers of the same options than the worker did.
        """
        if candidate.made:
            return self._told(trained_network(candidate.made, candidate.network), candidate)
        options = candidate.design.options(self.options.quantizer)
        qgraph = self.task.network(candidate.design, options, described=True)
        if network_checksum(qgraph) != candidate.network:
            raise HwquantError(
                "this machine quantizes the candidate to other integers than the worker that judged it (another "
                "processor or numpy); optimize on machines like this one"
            )
        return self._told(qgraph, candidate)

    def _told(self, qgraph: QGraph, candidate: Candidate) -> QGraph:
        """The network, whose history says what was chosen for which board."""
        times = self.improvement(candidate)
        than = "" if times is None else f", {times:.2f} x the best 8-bit dense build that fits"
        text = (
            f"for {self.board}, of {len(self.candidates)} candidates: {candidate.variant}, "
            f"{array_name(candidate.array)}, "
            f"{candidate.measures['fps']:,.0f} inferences a second of the core{than}"
        )
        return replace(qgraph, options=with_steps(qgraph.options, [Step("optimize", text)]))

    def program(self, candidate: Candidate, network: QGraph | None = None) -> Program:
        """Compile a candidate for its array, as `hwquant compile --board` would."""
        board = self.task.board
        network = self.network(candidate) if network is None else network
        shapes = Shapes(network, offset=candidate.design.placing)
        judged = choose_array(shapes, board, candidate.array, external=self.options.external).chosen
        return program_of(judged, shapes, board)

    def to_json(self) -> dict[str, Any]:
        """Give front, candidates and baseline as plain JSON values."""
        return {
            "board": self.board,
            "objective": self.options.objective,
            "float_accuracy": self.float_accuracy,
            "baseline": None if self.baseline is None else self.baseline.to_json(),
            "no_baseline": self.no_baseline,
            "networks": [str(item) for item in self.variants],
            "front": [item.to_json() for item in self.front],
            "candidates": [item.to_json() for item in self.candidates],
            "failed": [_failure(key, self.task, reason) for key, reason in self.failed.items()],
        }


def missed(
    measures: Mapping[str, float],
    float_accuracy: float,
    options: OptimizeOptions,
    allowed: float | None = None,
) -> dict[str, float]:
    """Measure by how much each limit is missed, by its name; 0 where it is kept.

    Parameters
    ----------
    measures : mapping of float
        A candidate's numbers.
    float_accuracy : float
        What drops are counted from, 0..1.
    options : OptimizeOptions
        The limits.
    allowed : float, optional
        Points that may be lost instead of ``options.max_drop``.
    """
    drop = 100 * (float_accuracy - measures[ACCURACY])
    # Where the drop is exactly what is allowed, it may be off by a rounding error.
    most = (options.max_drop if allowed is None else allowed) + 1e-9
    least = options.min_fps or 0.0
    return {
        "max_drop": max(0.0, drop - most),
        "min_fps": max(0.0, (least - measures["fps"]) / max(least, 1.0)),
    }


def _distance(item: Candidate, float_accuracy: float, options: OptimizeOptions) -> float:
    return sum(missed(item.measures, float_accuracy, options).values())


def _order(item: Candidate, goal: Measure, options: OptimizeOptions) -> tuple[float, ...]:
    """A key for sorting: what reaches the speed before all others, then by the goal, then by accuracy, then by LUTs."""
    slow = missed(item.measures, 1.0, replace(options, max_drop=100.0))["min_fps"]
    return slow, goal.cost(item.measures), -item.accuracy, item.measures["lut"]


def _candidate(item: Item, outcome: Outcome, task: Task, variants: Sequence[Variant]) -> Candidate:
    configuration = bits_of(item)
    design = task.space.design(configuration)
    variant = str(variants[design.network])
    return Candidate(configuration, design, variant, outcome.made, dict(outcome.measures), outcome.network)


def bits_of(item: Item) -> Configuration:
    """Find the configuration of what was judged, trained or not."""
    return item.configuration if isinstance(item, Tuned) else item


def _failure(item: Item, task: Task, reason: str) -> dict[str, Any]:
    design = task.space.design(bits_of(item))
    return {
        "network": design.network,
        "trained": isinstance(item, Tuned),
        "offset": design.offset,
        "activation_bits": design.activation_bits,
        "bits": dict(design.bits),
        "error": reason,
    }
