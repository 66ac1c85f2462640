"""What was done to a network on its way, step by step: it travels with the network, in .onnx and in .hwq files.

Pruning writes a float network, a search takes it and finds bits, training takes both: each adds a step to what it was
given, so that the last network tells the whole story.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwquant.errors import Damaged

KEY = "history"
"""Where ``QGraph.options`` has the steps."""
METADATA = "hwquant.history"
"""Where the metadata of an ONNX model have them."""


@dataclass(frozen=True)
class Step:
    """What one method did to a network.

    Attributes
    ----------
    method : str
        Name of the command that does it, such as "prune".
    text : str
        What was done and what came of it, in a line for people.
    details : mapping, default empty
        Options and figures, as plain JSON values by name.
    """

    method: str
    text: str
    details: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method}: {self.text}"

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain JSON values by name."""
        return {**dataclasses.asdict(self), "details": dict(self.details)}


def history(options: Mapping[str, object]) -> tuple[Step, ...]:
    """Find what was done to an integer network, the first step first.

    Parameters
    ----------
    options : mapping
        ``QGraph.options``.

    Raises
    ------
    Damaged
        The steps are not as hwquant writes them.
    """
    return of_json(options.get(KEY, []), "the network")


def with_steps(options: Mapping[str, object], steps: Iterable[Step]) -> dict[str, object]:
    """Add steps to ``QGraph.options``, each once."""
    told = merged(history(options), steps)
    return {**options, KEY: [step.to_json() for step in told]} if told else dict(options)


def merged(first: Iterable[Step], second: Iterable[Step]) -> tuple[Step, ...]:
    """Put the steps of two files together that a command takes, each step once."""
    result = list(first)
    result += [step for step in second if step not in result]
    return tuple(result)


def to_text(steps: Iterable[Step]) -> str:
    """Write steps as the JSON that an ONNX model's metadata hold."""
    return json.dumps([step.to_json() for step in steps], allow_nan=False)


def of_json(value: object, where: str) -> tuple[Step, ...]:
    """Read steps from plain JSON values.

    Parameters
    ----------
    value : object
        A list of what :meth:`Step.to_json` gives.
    where : str
        What has them, for the message.

    Raises
    ------
    Damaged
        They are not as hwquant writes them.
    """
    forms = {"method": str, "text": str, "details": dict}
    if not isinstance(value, list) or not all(
        isinstance(item, dict)
        and item.keys() == forms.keys()
        and all(isinstance(item[name], kind) for name, kind in forms.items())
        for item in value
    ):
        raise Damaged(f"{where} has a history that hwquant did not write; make it again")
    return tuple(Step(**item) for item in value)
