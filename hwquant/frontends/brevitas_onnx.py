"""Modules that are trained with Brevitas: written as QONNX by its own exporter, in memory, and read from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwquant.errors import HwquantError, first_line
from hwquant.frontends.torch_export import example_of, in_evaluation_mode
from hwquant.frontends.torch_onnx import quietly
from hwquant.packages import check_version, load_package

if TYPE_CHECKING:
    import onnx
    import torch

_PURPOSE = "reading a Brevitas module"


def is_brevitas(module: object) -> bool:
    """Whether a module of torch has quantizers of Brevitas in it."""
    parts = getattr(module, "modules", None)
    return callable(parts) and any(type(part).__module__.startswith("brevitas.") for part in parts())


def brevitas_as_onnx(module: torch.nn.Module, example_input: Any) -> onnx.ModelProto:
    """Write a module as a QONNX model, with Brevitas' exporter; the module is left as it was.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    example_input : Any
        A tensor, an array, or a tuple of them, batch dimension first.

    Returns
    -------
    onnx.ModelProto
        The model, for the batch of the example.

    Raises
    ------
    HwquantError
        The module has no quantizers of Brevitas, or Brevitas cannot export it.
    MissingPackage
        Brevitas, or what its exporter needs, is not installed.
    """
    for name in ("onnxoptimizer", "onnxscript"):
        load_package(name, name, "brevitas", _PURPOSE)
    with quietly():  # it warns of packages that it could do with
        load_package("brevitas.export", "brevitas", "brevitas", _PURPOSE)
    check_version("brevitas", "brevitas", _PURPOSE)
    from brevitas.export import export_qonnx

    if not is_brevitas(module):
        raise HwquantError(
            f"a {type(module).__name__} has no quantizers of Brevitas; hwquant.from_torch reads float modules"
        )
    with in_evaluation_mode(module), quietly():
        try:
            made = export_qonnx(module, args=example_of(example_input))
        except Exception as error:  # the exporter and the module's own code raise anything
            raise HwquantError(
                f"Brevitas cannot export {type(module).__name__}: {first_line(error)}; make "
                "brevitas.export.export_qonnx(module, args=(example,)) work first"
            ) from error
    return made
