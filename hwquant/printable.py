"""Names that others chose, as they may be shown."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    r"""Write out what a terminal or a page would act on, as ``\x1b`` or ``\u202e``.

    That is: control characters, line breaks among them, marks that change the direction of writing, characters of no
    width, and halves of surrogate pairs, which names of files can hold. All others stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(item if item.isprintable() else _escaped(item) for item in text)


def first_of(names: Sequence[str], most: int = 4) -> str:
    """The first ``most`` of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
