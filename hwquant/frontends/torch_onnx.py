"""Programs of torch whose ends the array cannot do: by way of ONNX, as which those ends stay with the host."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.packages import check_version

if TYPE_CHECKING:
    import onnx
    import torch


def as_onnx(program: torch.export.ExportedProgram, refusal: Unsupported) -> onnx.ModelProto:
    """Write an exported program as an ONNX model, with torch's own exporter.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        The program.
    refusal : Unsupported
        Why the array cannot do all of it.

    Returns
    -------
    onnx.ModelProto
        The model.

    Raises
    ------
    Unsupported
        The exporter is not installed or does not know an operator: the refusal, with that.
    """
    purpose = "leaving a part of a torch network to the host"
    missing = next((name for name in ("onnx", "onnxscript") if find_spec(name) is None), None)
    if missing is not None:
        raise further(refusal, f"{purpose} needs {missing}: pip install 'hwquant[host]'")
    check_version("onnxscript", "host", purpose)
    import torch

    try:
        with quietly():
            exported = torch.onnx.export(program, dynamo=True, verbose=False, optimize=True)
    except Exception as error:  # the exporter raises anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise further(
            refusal, f"the host cannot have its ends either, which torch.onnx does not write: {lines[0]}"
        ) from error
    if exported is None:
        raise further(refusal, "torch.onnx gives no model of it")
    return exported.model_proto


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Do something without what an exporter says of its own workings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def further(refusal: Unsupported, why: str) -> Unsupported:
    """A refusal, with why the host cannot help either."""
    return Unsupported(
        f"{refusal}. {why[0].upper()}{why[1:]}", where=refusal.where, operator=refusal.operator
    )
