"""What a search found: candidates, the Pareto front, a pick under constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hwquant.errors import DoesNotFit, HwquantError
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions
from hwquant.search.evaluate import Outcome, Task, network_checksum, quantize_candidate
from hwquant.search.objectives import ACCURACY, OBJECTIVES
from hwquant.search.options import Constraints, SearchOptions
from hwquant.search.pareto import front
from hwquant.search.space import ACTIVATIONS, WEIGHTS, Configuration


@dataclass(frozen=True)
class Candidate:
    """An evaluated choice of bits.

    Attributes
    ----------
    configuration : tuple of int
        The bits in the order of the space's variables.
    bits : mapping of int
        Bits of weights by name of convolution, as in QuantizeOptions.
    activation_bits : mapping of int
        Bits of activations by name of tensor, as in QuantizeOptions; empty where they are not searched.
    measures : mapping of float
        Values of objectives by name.
    noise : float
        Power of the output's error relative to the float network's output.
    network : str
        Checksum of the network's integers.
    """

    configuration: Configuration
    bits: Mapping[str, int]
    activation_bits: Mapping[str, int]
    measures: Mapping[str, float]
    noise: float
    network: str

    def to_json(self) -> dict[str, object]:
        """Give bits and measures as plain JSON values."""
        return {
            "bits": dict(self.bits),
            "activation_bits": dict(self.activation_bits),
            **self.measures,
            "noise": self.noise,
        }


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
        By configuration, why candidates cannot be quantized or compiled.
    task : Task
        What candidates were evaluated with, to make their networks again.
    """

    options: SearchOptions
    candidates: tuple[Candidate, ...]
    int8: Candidate
    float_accuracy: float
    failed: Mapping[Configuration, str]
    task: Task

    @classmethod
    def of(
        cls,
        options: SearchOptions,
        task: Task,
        float_accuracy: float,
        outcomes: Mapping[Configuration, Outcome],
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
        space = task.space
        candidates = {
            configuration: Candidate(
                configuration,
                space.named(configuration, WEIGHTS),
                space.named(configuration, ACTIVATIONS),
                {name: outcome.measures[name] for name in task.measured},
                outcome.noise,
                outcome.network,
            )
            for configuration, outcome in outcomes.items()
            if outcome.error is None
        }
        failed = {key: outcome.error for key, outcome in outcomes.items() if outcome.error is not None}
        return cls(options, tuple(candidates.values()), candidates[space.int8], float_accuracy, failed, task)

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
        return math.prod(
            candidate.measures[name] / max(self.int8.measures[name], 1.0)
            for name in self.options.objectives
            if not OBJECTIVES[name].maximize
        )

    def quantize_options(self, candidate: Candidate) -> QuantizeOptions:
        """Find the quantizer's options that make a candidate.

        They are for :func:`hwquant.quantize.quantize`, or for training with the candidate's bits.
        """
        return self.task.space.options(self.task.quantizer, candidate.configuration)

    def network(self, candidate: Candidate) -> QGraph:
        """Make a candidate's integer network, which is the one that was evaluated.

        Raises
        ------
        HwquantError
            This machine makes other integers of the same options than the worker did.
        """
        qgraph = quantize_candidate(self.task, candidate.configuration, described=True)
        if network_checksum(qgraph) != candidate.network:
            raise HwquantError(
                "this machine quantizes the candidate to other integers than the worker that evaluated it (another "
                "processor or numpy); search on machines like this one"
            )
        return qgraph

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
                    "bits": self.task.space.named(key, WEIGHTS),
                    "activation_bits": self.task.space.named(key, ACTIVATIONS),
                    "error": reason,
                }
                for key, reason in self.failed.items()
            ],
        }


def describe_measures(measures: Mapping[str, float]) -> str:
    """Write measures by name of objective in a line for people."""
    return ", ".join(
        f"accuracy {value:.2%}" if name == ACCURACY else f"{value:,.0f} {OBJECTIVES[name].title}"
        for name, value in measures.items()
    )


def cost(name: str, value: float) -> float:
    """Turn the value of an objective into something to make small."""
    return -value if OBJECTIVES[name].maximize else value
