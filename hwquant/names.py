"""Names that become files and folders: one pattern for all of them."""

from __future__ import annotations

import re
from pathlib import Path

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


MODELS = (".onnx", ".pt2", ".pt", ".pth", ".tflite")
"""How names of models end that are not quantized yet."""


def check_is_network(path: Path) -> None:
    """Check that a file may be an integer network, before it is opened: many give that of another step.

    Raises
    ------
    HwquantError
        It is a folder, or named as a model; the message says what to give, or how to make one.
    """
    if path.suffix.lower() in MODELS:
        raise HwquantError(f"{str(path)!r} is no integer network; make one of it with hwquant quantize")
    if path.is_dir():
        inside = path / "net.hwq"
        hint = f"the network of this build is {inside}" if inside.is_file() else "give a .hwq file"
        raise HwquantError(f"{path} is a folder, and no network; {hint}")
