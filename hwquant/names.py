"""Names that become files and folders: one pattern for all of them."""

from __future__ import annotations

import re

from hwquant.errors import HwquantError

PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Neither hidden nor a way out (``..``), no separator, nothing that a shell or a terminal would interpret."""


def path_name(text: str, what: str) -> str:
    """Check that a file or a folder may bear a name.

    Parameters
    ----------
    text : str
        The name.
    what : str
        What bears it, such as ``"a board"``; the message begins so.

    Returns
    -------
    str
        The name.

    Raises
    ------
    HwquantError
        The name does not match :data:`PATTERN`.
    """
    if PATTERN.fullmatch(text) is None:
        raise HwquantError(
            f"{what} cannot have the name {text!r:.80}; take letters, digits, '.', '_' and '-', at most 64, "
            "a letter or a digit first"
        )
    return text
