"""What a search found: candidates, the Pareto front, a pick under constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hwquant.errors import DoesNotFit, HwquantError
from hwquant.history import Step, with_steps
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions
from hwquant.quantize.options import Bits
from hwquant.search.evaluate import (
    Item,
    Outcome,
    Task,
    network_checksum,
    quantize_candidate,
    trained_network,
)
from hwquant.search.objectives import ACCURACY, OBJECTIVES
from hwquant.search.options import Constraints, SearchOptions
from hwquant.search.pareto import front
from hwquant.search.space import WEIGHTS, Configuration
from hwquant.search.tuning import Tuned


@dataclass(frozen=True)
class Candidate:
    """An evaluated choice of bits.

    Attributes
    ----------
    configuration : tuple of int
        The bits in the order of the space's variables.
    bits : mapping of int
        Bits of weights by name of convolution, as in QuantizeOptions.
    activation_bits : int or mapping of int
        Bits of activations, as in QuantizeOptions.
    bias_bits : int, mapping of int, or None
        Bits of biases, by name of layer where they are searched, as in QuantizeOptions.
    measures : mapping of float
        Values of objectives by name.
    noise : float
        Power of the output's error relative to the float network's output.
    network : str
        Checksum of the network's integers.
    made : bytes, default b""
        The network as a ``.hwq`` file has it, where it was fine-tuned.
    untrained : float, optional
        Accuracy of the same bits without fine-tuning, 0..1, where it was fine-tuned.
    """

    configuration: Configuration
    bits: Mapping[str, int]
    activation_bits: Bits
    bias_bits: Bits | None
    measures: Mapping[str, float]
    noise: float
    network: str
    made: bytes = b""
    untrained: float | None = None

    @property
    def trained(self) -> bool:
        """Whether the candidate was fine-tuned."""
        return bool(self.made)

    def to_json(self) -> dict[str, object]:
        """Give bits and measures as plain JSON values."""
        return {
            **{name: _plain(getattr(self, name)) for name in ("bits", "activation_bits", "bias_bits")},
            **self.measures,
            "noise": self.noise,
            "trained": self.trained,
            "untrained_accuracy": self.untrained,
        }


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The outcome of a search.

    Attributes
    ----------
    options : SearchOptions
        The options of the search.
    candidates : tuple of Candidate
        All candidates that work, in the order in which they were chosen.
    int8 : Candidate
        The candidate with everything in 8 bits, which is always there.
    float_accuracy : float
        Accuracy of the float network on the same samples, 0..1.
    failed : mapping of str
        By configuration, or configuration and training, why candidates cannot be quantized, compiled or trained.
    task : Task
        What candidates were evaluated with, to make their networks again.
    """

    options: SearchOptions
    candidates: tuple[Candidate, ...]
    int8: Candidate
    float_accuracy: float
    failed: Mapping[Item, str]
    task: Task

    @classmethod
    def of(
        cls,
        options: SearchOptions,
        task: Task,
        float_accuracy: float,
        outcomes: Mapping[Item, Outcome],
    ) -> SearchResult:
        """Collect a search's outcomes.

        Parameters
        ----------
        options : SearchOptions
            The options of the search.
        task : Task
            What candidates were evaluated with.
        float_accuracy : float
            Accuracy of the float network, 0..1.
        outcomes : mapping of Outcome
            Outcomes by configuration; the one with everything in 8 bits must be there and work.
        """
        works = {item: outcome for item, outcome in outcomes.items() if outcome.error is None}
        candidates = {item: _candidate(task, item, works) for item in works}
        failed = {item: outcome.error for item, outcome in outcomes.items() if outcome.error is not None}
        int8 = candidates[task.space.int8]
        return cls(options, tuple(candidates.values()), int8, float_accuracy, failed, task)

    @cached_property
    def front(self) -> tuple[Candidate, ...]:
        """The candidates that no other beats in all objectives, the most accurate first."""
        names = self.options.objectives
        kept = front([[cost(name, item.measures[name]) for name in names] for item in self.candidates])
        costs = [name for name in names if name != ACCURACY]
        return tuple(
            sorted(
                (self.candidates[index] for index in kept),
                key=lambda item: (-item.measures[ACCURACY], *(item.measures[name] for name in costs)),
            )
        )

    @property
    def references(self) -> dict[str, float]:
        """What drops are counted from: the accuracies of "float" and "int8"."""
        return {"float": self.float_accuracy, "int8": self.int8.measures[ACCURACY]}

    def drop(self, candidate: Candidate, reference: str) -> float:
        """Count the points of accuracy that a candidate loses against "float" or "int8"."""
        return 100 * (self.references[reference] - candidate.measures[ACCURACY])

    def pick(self, constraints: Constraints | None = None) -> Candidate:
        """Pick the best candidate that keeps to constraints.

        With a bound on the drop, it is the one whose costs have the least product, each relative to int8 (all
        objectives but the accuracy); of equal ones the most accurate. Without, it is the most accurate; of equal
        ones the cheapest.

        Parameters
        ----------
        constraints : Constraints, optional
            What the candidate must keep to; None takes the search's own.

        Raises
        ------
        DoesNotFit
            No candidate keeps to them; the message says which comes nearest.
        HwquantError
            A limit is on something that was not measured.
        """
        constraints = self.options.constraints if constraints is None else constraints
        for name in constraints.limits:
            if name not in self.task.measured:
                raise HwquantError(f"{name} was not measured; search with it as an objective or a limit")
        missed = {
            id(item): sum(
                max(0.0, value) for value in constraints.violations(item.measures, self.references).values()
            )
            for item in self.candidates
        }
        kept = [item for item in self.candidates if missed[id(item)] == 0]
        if not kept:
            remedy = "loosen the constraints, or search more trials or other bits"
            nearest = min(self.candidates, key=lambda item: missed[id(item)])
            raise DoesNotFit(
                f"none of {len(self.candidates)} candidates keeps to {constraints}; the nearest has "
                f"{describe_measures(nearest.measures)}, {self.drop(nearest, constraints.drop_from):.2f} points below "
                f"{constraints.drop_from}; {remedy}",
                resource="constraints",
                remedy=remedy,
            )
        if constraints.max_drop is None:
            return min(kept, key=lambda item: (-item.measures[ACCURACY], self.relative_cost(item)))
        return min(kept, key=lambda item: (self.relative_cost(item), -item.measures[ACCURACY]))

    def relative_cost(self, candidate: Candidate) -> float:
        """Multiply the costs of a candidate, each relative to that of int8."""
        return relative_cost(self.options.objectives, candidate.measures, self.int8.measures)

    def quantize_options(self, candidate: Candidate) -> QuantizeOptions:
        """Find the quantizer's options that make a candidate.

        They are for :func:`hwquant.quantize.quantize`, or for training with the candidate's bits.
        """
        return self.task.space.options(self.task.quantizer, candidate.configuration)

    def network(self, candidate: Candidate) -> QGraph:
        """Make a candidate's integer network, which is the one that was evaluated.

        Raises
        ------
        Damaged
            The network that the journal has is not the one that was measured.
        HwquantError
            This machine makes other integers of the same options than the worker did.
        """
        if candidate.trained:
            return self._told(trained_network(candidate.made, candidate.network), candidate)
        qgraph = quantize_candidate(self.task, candidate.configuration, described=True)
        if network_checksum(qgraph) != candidate.network:
            raise HwquantError(
                "this machine quantizes the candidate to other integers than the worker that evaluated it (another "
                "processor or numpy); search on machines like this one"
            )
        return self._told(qgraph, candidate)

    def history(self, candidate: Candidate) -> tuple[Step, ...]:
        """Tell what was done to the network before, and that the search chose a candidate."""
        text = (
            f"{len(self.candidates)} candidates of {self.task.space.size:,}; {describe_measures(candidate.measures)} "
            f"(float {self.float_accuracy:.2%})"
        )
        return (*self.task.observed.graph.history, Step("search", text))

    def _told(self, qgraph: QGraph, candidate: Candidate) -> QGraph:
        return replace(qgraph, options=with_steps(qgraph.options, self.history(candidate)))

    def to_json(self) -> dict[str, object]:
        """Give front, candidates and references as plain JSON values."""
        return {
            "objectives": list(self.options.objectives),
            "float_accuracy": self.float_accuracy,
            "int8": self.int8.to_json(),
            "configurations": self.task.space.size,
            "front": [item.to_json() for item in self.front],
            "candidates": [item.to_json() for item in self.candidates],
            "failed": [
                {
                    **self._options_json(configuration_of(item)),
                    "trained": isinstance(item, Tuned),
                    "error": reason,
                }
                for item, reason in self.failed.items()
            ],
        }

    def _options_json(self, configuration: Configuration) -> dict[str, object]:
        options = self.task.space.options(self.task.quantizer, configuration)
        return {name: _plain(getattr(options, name)) for name in ("bits", "activation_bits", "bias_bits")}


def configuration_of(item: Item) -> Configuration:
    """Find the bits of what was evaluated."""
    return item.configuration if isinstance(item, Tuned) else item


def _candidate(task: Task, item: Item, works: Mapping[Item, Outcome]) -> Candidate:
    configuration, outcome = configuration_of(item), works[item]
    options = task.space.options(task.quantizer, configuration)
    untrained = works[configuration].measures[ACCURACY] if isinstance(item, Tuned) else None
    return Candidate(
        configuration,
        task.space.named(configuration, WEIGHTS),
        options.activation_bits,
        options.bias_bits,
        {name: outcome.measures[name] for name in task.measured},
        outcome.noise,
        outcome.network,
        outcome.made,
        untrained,
    )


def relative_cost(
    objectives: Sequence[str], measures: Mapping[str, float], reference: Mapping[str, float]
) -> float:
    """Multiply all costs among objectives, each relative to that of a reference."""
    return math.prod(
        OBJECTIVES[name].ratio(measures[name], reference[name])
        for name in objectives
        if not OBJECTIVES[name].maximize
    )


def describe_measures(measures: Mapping[str, float]) -> str:
    """Write measures by name of objective in a line for people."""
    return ", ".join(
        f"accuracy {value:.2%}"
        if name == ACCURACY
        else f"{OBJECTIVES[name].show(value)} {OBJECTIVES[name].title}"
        for name, value in measures.items()
    )


def cost(name: str, value: float) -> float:
    """Turn the value of an objective into something to make small."""
    return -value if OBJECTIVES[name].maximize else value
