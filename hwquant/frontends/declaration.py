"""What becomes of each thing that an operator carries: it is used, irrelevant for a reason, or refused.

An importer declares this for every attribute, argument and output of its operators, in one table. What the
table does not have is refused, so that nothing is dropped in silence.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Used:
    """The operator's translation reads it, or refuses the values that it cannot do.

    Attributes
    ----------
    one_of : tuple
        All values that there are; empty where that is for the translation to say.
    """

    one_of: tuple[object, ...] = ()


@dataclass(frozen=True)
class Irrelevant:
    """The result is the same, whatever the value.

    Attributes
    ----------
    reason : str
        Why it does not matter.
    one_of : tuple
        All values that there are; empty for any.
    """

    reason: str
    one_of: tuple[object, ...] = ()


@dataclass(frozen=True)
class Refused:
    """The value would change the result, in a way that is not computed.

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
        return among(value, self.harmless)


def among(value: object, values: tuple[object, ...]) -> bool:
    """Whether a value is one of several, of the same type."""
    return any(type(value) is type(other) and value == other for other in values)


Treatment = Used | Irrelevant | Refused

USED = Used()
FLAG = Used(one_of=(0, 1))
