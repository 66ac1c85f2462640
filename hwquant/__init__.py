"""hwquant: a trained neural network goes in, verified hardware comes out.

The functions that most users need are here, loaded when they are first used::

    load_model, from_onnx, from_torch        a float network (Graph)
    quantize_network                         to integers (QGraph)
    save_network, load_network               .hwq files
    quantize_input, predict                  the user's arrays to integers; what the integers compute
    check_inputs                             whether samples fit the ranges that the integers were chosen for (Advice)
    compile_network                          for an array of rows x columns (Program)
    write_build, load_build                  program, Verilog and report in a folder (Build)
    simulate, verify                         the hardware, against the integers
    Training, TrainOptions                   with what hwquant.training and hwquant.pruning train, and how
    HwquantError                             what all of them raise; Unsupported, DoesNotFit, Damaged and
                                             MissingPackage are kinds of it

Each is documented where it is defined; see ``_PUBLIC``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwquant.advice import Advice
    from hwquant.build import load_build, write_build
    from hwquant.clipping import check_inputs
    from hwquant.errors import Damaged, DoesNotFit, HwquantError, MissingPackage, Unsupported
    from hwquant.frontends import from_onnx, from_torch, load_model
    from hwquant.golden import predict, quantize_input
    from hwquant.hwq import load as load_network
    from hwquant.hwq import save as save_network
    from hwquant.program.compiler import compile_network
    from hwquant.quantize import quantize as quantize_network
    from hwquant.sim import simulate
    from hwquant.sim.check import verify
    from hwquant.training import Training, TrainOptions

__version__ = "0.1.0"

_PUBLIC = {
    "Advice": ("hwquant.advice", "Advice"),
    "HwquantError": ("hwquant.errors", "HwquantError"),
    "Unsupported": ("hwquant.errors", "Unsupported"),
    "DoesNotFit": ("hwquant.errors", "DoesNotFit"),
    "Damaged": ("hwquant.errors", "Damaged"),
    "MissingPackage": ("hwquant.errors", "MissingPackage"),
    "load_model": ("hwquant.frontends", "load_model"),
    "from_onnx": ("hwquant.frontends", "from_onnx"),
    "from_torch": ("hwquant.frontends", "from_torch"),
    "quantize_network": ("hwquant.quantize", "quantize"),
    "save_network": ("hwquant.hwq", "save"),
    "load_network": ("hwquant.hwq", "load"),
    "quantize_input": ("hwquant.golden", "quantize_input"),
    "predict": ("hwquant.golden", "predict"),
    "check_inputs": ("hwquant.clipping", "check_inputs"),
    "compile_network": ("hwquant.program.compiler", "compile_network"),
    "write_build": ("hwquant.build", "write_build"),
    "load_build": ("hwquant.build", "load_build"),
    "simulate": ("hwquant.sim", "simulate"),
    "verify": ("hwquant.sim.check", "verify"),
    "Training": ("hwquant.training", "Training"),
    "TrainOptions": ("hwquant.training", "TrainOptions"),
}
"""Public name to module and name there."""

__all__ = [
    "Advice",
    "Damaged",
    "DoesNotFit",
    "HwquantError",
    "MissingPackage",
    "TrainOptions",
    "Training",
    "Unsupported",
    "check_inputs",
    "compile_network",
    "from_onnx",
    "from_torch",
    "load_build",
    "load_model",
    "load_network",
    "predict",
    "quantize_input",
    "quantize_network",
    "save_network",
    "simulate",
    "verify",
    "write_build",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hwquant' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
