"""Float networks by name: files, and modules of the user's own Python."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

from hwquant.cli.reading import Reading
from hwquant.errors import HwquantError
from hwquant.graph import Graph

MODEL = "MODEL.onnx|MODEL.pt2|MODULE:FACTORY"
"""Models that :func:`load_float` takes, for the help."""


def load_float(model: str, data: Path, reading: Reading) -> Graph:
    """Load a float network from a file, or from ``module:factory``.

    The module is imported from the working folder or from what is installed, its function called without
    arguments, and the ``torch.nn.Module`` that it returns exported for samples like those in ``data`` (an .npz
    file with ``x``). A module of that name instead of a function is taken as it is.
    """
    from hwquant.frontends import from_torch

    if Path(model).exists() or not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", model):
        return reading.load(model)
    from hwquant.data import load_array

    module, _, name = model.partition(":")
    sys.path.insert(0, "")
    try:
        made = getattr(import_module(module), name)
        if isinstance(made, type) or not hasattr(made, "forward"):
            made = made()
    except (Exception, SystemExit) as error:  # the user's code raises anything
        raise HwquantError(f"cannot make the network {model!r}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove("")
    if reading.shapes:
        raise HwquantError(
            f"--shape is for files; {model} is exported for samples like those in {data}: leave it out"
        )
    example = load_array(data, count=2).astype("float32")
    graph = from_torch(
        made, example if reading.batch_axis == 0 else example[0], batch_axis=reading.batch_axis
    )
    return reading.with_states(graph)
