"""What becomes of each thing that an operator carries: it is used, irrelevant for a reason, or refused.

An importer declares this for every attribute, argument and output of its operators, in one table. What the
table does not have is refused, so that nothing is dropped in silence.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Used:
    """The operator's translation reads it, or refuses the values that it cannot do."""


@dataclass(frozen=True)
class Irrelevant:
    """It changes nothing that this package computes.

    Attributes
    ----------
    reason : str
        Why.
    """

    reason: str


@dataclass(frozen=True)
class Refused:
    """It changes the result, and is not computed.

    Attributes
    ----------
    reason : str
        What it would do, or what to use in its place; a message ends with it.
    harmless : tuple
        The values at which it changes nothing, which are accepted.
    """

    reason: str
    harmless: tuple[object, ...] = ()

    def allows(self, value: object) -> bool:
        """True if the value is one of the harmless ones."""
        return any(type(value) is type(other) and value == other for other in self.harmless)


Treatment = Used | Irrelevant | Refused

USED = Used()
