"""Programs of torch whose ends the array cannot do: by way of ONNX, as which those ends stay with the host."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from hwquant.errors import Unsupported, first_line
from hwquant.frontends.torch_export import quiet
from hwquant.packages import check_version

if TYPE_CHECKING:
    import onnx
    import torch

MOST_DIFFERING = 0.01
"""Share of an output's numbers that may differ from the program's: those that float32 rounds to another side."""


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
        The exporter is not installed, does not know an operator, or writes another function than the program's, as it
        does where it leaves out an argument: the refusal, with that.
    """
    purpose = "leaving a part of a torch network to the host"
    missing = next((name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None), None)
    if missing is not None:
        raise further(refusal, f"{purpose} needs {missing}: pip install 'hwquant[host]'")
    check_version("onnxscript", "host", purpose)
    import torch

    try:
        with quietly():
            exported = torch.onnx.export(program, dynamo=True, verbose=False, optimize=True)
    except Exception as error:  # the exporter raises anything
        cause: BaseException = error
        while cause.__cause__ is not None:  # around it are only pictures of the exporter's steps
            cause = cause.__cause__
        raise further(
            refusal,
            f"the host cannot have its ends either, which torch.onnx does not write: {first_line(cause)}",
        ) from error
    if exported is None:
        raise further(refusal, "torch.onnx gives no model of it")
    model: onnx.ModelProto = exported.model_proto
    try:
        found = list(_differences(program, model))
    except Exception as error:  # the program, or onnxruntime, raises anything
        raise further(refusal, f"the host cannot have its ends either: {first_line(error)}") from error
    for output, differing in found:
        if differing > MOST_DIFFERING:
            raise further(
                refusal,
                f"the host cannot have its ends either, of which torch.onnx writes something else: {differing:.0%} of "
                f"the numbers of output {output!r} are not the program's",
            )
    return model


def _differences(
    program: torch.export.ExportedProgram, model: onnx.ModelProto
) -> Iterator[tuple[str, float]]:
    """Every output of the model, with the share of its numbers that are not those of the program, on random inputs."""
    import onnxruntime
    import torch

    draw = np.random.default_rng(0).standard_normal
    arguments, named = program.example_inputs
    arguments, named = torch.utils._pytree.tree_map(
        lambda item: (
            torch.from_numpy(np.asarray(draw(item.shape))).to(item.dtype)
            if item.is_floating_point()
            else item  # such as indices, which may not be anything
        ),
        (arguments, named),
    )
    with torch.no_grad():
        wanted = torch.utils._pytree.tree_leaves(program.module()(*arguments, **named))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # and the model as it is: among integers, optimizations round elsewhere
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    given = [item.numpy() for item in torch.utils._pytree.tree_leaves((arguments, named))]
    found = session.run(None, {item.name: array for item, array in zip(session.get_inputs(), given)})
    for item, ours, want in zip(session.get_outputs(), found, wanted):
        reference = want.numpy()
        near = 1e-3 * np.abs(reference, where=np.isfinite(reference), out=np.zeros(reference.shape)).max(
            initial=0
        )
        same = ours.shape == reference.shape and np.isclose(ours, reference, 1e-3, near, equal_nan=True)
        yield item.name, 1 - float(np.mean(same))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Do something without what an exporter says of its own workings."""
    with (
        quiet("torch.onnx", logging.ERROR),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def further(refusal: Unsupported, why: str) -> Unsupported:
    """A refusal, with why the host cannot help either."""
    return Unsupported(
        f"{refusal}. {why[0].upper()}{why[1:]}", where=refusal.where, operator=refusal.operator
    )
