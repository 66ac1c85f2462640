"""hwquant: a trained neural network goes in, verified hardware comes out.

The functions that most users need are here, loaded when they are first used::

    load_model, from_onnx, from_torch,
    from_brevitas                            a float network (Graph), with its integers where it is quantized already
    load_samples                             inputs, perhaps with labels (Samples)
    quantize_network                         method 1: to integers, with an integer offset (QGraph)
    quantize_progressively                   method 2: part by part, trained in between; finetune_all_at_once
    prune_network                            method 3: groups that the hardware skips
    search_bits                              method 4: bits of each layer, by accuracy and cost
    truncate_network, check_parity           method 5: to fixed point, tested operator by operator
    optimize_network                         the best network for a board: all of these together
    save_network, load_network               .hwq files, and models that were exported from them
    compare_to_source                        with the runtime of the quantized model that it was made of (Agreement)
    quantize_input, predict                  the user's arrays to integers; what the integers compute
    check_inputs                             whether samples fit the ranges that the integers were chosen for (Advice)
    compile_network                          for an array of rows x columns (Program)
    write_build, load_build                  program, Verilog and report in a folder (Build)
    simulate, verify                         the hardware, against the integers
    with_states, find_states, Stream         states carried from call to call
    deliver                                  the whole network's outputs, from the array's and the host's part
    Training, TrainOptions                   with what they train, and how
    QuantizeOptions, ProgressiveOptions, TuneOptions, PruneOptions, RetrainOptions, SearchOptions, Constraints,
    ParityLimits, OptimizeOptions            what can be asked of the methods
    HwquantError                             what all of them raise; Unsupported, DoesNotFit, Damaged and
                                             MissingPackage are kinds of it

Each is documented, with an example, where it is defined; see ``_PUBLIC``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwquant.advice import Advice
    from hwquant.agreement import compare as compare_to_source
    from hwquant.build import load_build, write_build
    from hwquant.clipping import check_inputs
    from hwquant.data import Samples, load_samples
    from hwquant.errors import Damaged, DoesNotFit, HwquantError, MissingPackage, Unsupported
    from hwquant.frontends import from_brevitas, from_onnx, from_torch, load_model, load_network
    from hwquant.golden import Stream, deliver, predict, quantize_input
    from hwquant.hwq import save as save_network
    from hwquant.optimize import OptimizeOptions
    from hwquant.optimize import optimize as optimize_network
    from hwquant.program.compiler import compile_network
    from hwquant.pruning import PruneOptions, RetrainOptions
    from hwquant.pruning.prune import prune as prune_network
    from hwquant.quantize import QuantizeOptions
    from hwquant.quantize import quantize as quantize_network
    from hwquant.search import Constraints, SearchOptions
    from hwquant.search import search as search_bits
    from hwquant.sim import simulate
    from hwquant.sim.check import verify
    from hwquant.states import find_states, with_states
    from hwquant.training import ProgressiveOptions, Training, TrainOptions, TuneOptions, finetune_all_at_once
    from hwquant.training import progressive as quantize_progressively
    from hwquant.truncation import ParityLimits, check_parity
    from hwquant.truncation.truncate import truncate as truncate_network

__version__ = "0.2.0"

_PUBLIC = {
    "Advice": ("hwquant.advice", "Advice"),
    "HwquantError": ("hwquant.errors", "HwquantError"),
    "Unsupported": ("hwquant.errors", "Unsupported"),
    "DoesNotFit": ("hwquant.errors", "DoesNotFit"),
    "Damaged": ("hwquant.errors", "Damaged"),
    "MissingPackage": ("hwquant.errors", "MissingPackage"),
    "load_model": ("hwquant.frontends", "load_model"),
    "from_brevitas": ("hwquant.frontends", "from_brevitas"),
    "from_onnx": ("hwquant.frontends", "from_onnx"),
    "from_torch": ("hwquant.frontends", "from_torch"),
    "quantize_network": ("hwquant.quantize", "quantize"),
    "save_network": ("hwquant.hwq", "save"),
    "load_network": ("hwquant.frontends", "load_network"),
    "compare_to_source": ("hwquant.agreement", "compare"),
    "quantize_input": ("hwquant.golden", "quantize_input"),
    "predict": ("hwquant.golden", "predict"),
    "deliver": ("hwquant.golden", "deliver"),
    "Stream": ("hwquant.golden", "Stream"),
    "find_states": ("hwquant.states", "find_states"),
    "with_states": ("hwquant.states", "with_states"),
    "check_inputs": ("hwquant.clipping", "check_inputs"),
    "compile_network": ("hwquant.program.compiler", "compile_network"),
    "write_build": ("hwquant.build", "write_build"),
    "load_build": ("hwquant.build", "load_build"),
    "simulate": ("hwquant.sim", "simulate"),
    "verify": ("hwquant.sim.check", "verify"),
    "Training": ("hwquant.training", "Training"),
    "TrainOptions": ("hwquant.training", "TrainOptions"),
    "load_samples": ("hwquant.data", "load_samples"),
    "Samples": ("hwquant.data", "Samples"),
    "QuantizeOptions": ("hwquant.quantize", "QuantizeOptions"),
    "quantize_progressively": ("hwquant.training", "progressive"),
    "finetune_all_at_once": ("hwquant.training", "finetune_all_at_once"),
    "ProgressiveOptions": ("hwquant.training", "ProgressiveOptions"),
    "TuneOptions": ("hwquant.training", "TuneOptions"),
    "prune_network": ("hwquant.pruning", "prune"),
    "PruneOptions": ("hwquant.pruning", "PruneOptions"),
    "RetrainOptions": ("hwquant.pruning", "RetrainOptions"),
    "search_bits": ("hwquant.search", "search"),
    "SearchOptions": ("hwquant.search", "SearchOptions"),
    "Constraints": ("hwquant.search", "Constraints"),
    "truncate_network": ("hwquant.truncation", "truncate"),
    "ParityLimits": ("hwquant.truncation", "ParityLimits"),
    "check_parity": ("hwquant.truncation", "check_parity"),
    "optimize_network": ("hwquant.optimize", "optimize"),
    "OptimizeOptions": ("hwquant.optimize", "OptimizeOptions"),
}
"""Public name to module and name there."""

__all__ = [
    "Advice",
    "Constraints",
    "Damaged",
    "DoesNotFit",
    "HwquantError",
    "MissingPackage",
    "OptimizeOptions",
    "ParityLimits",
    "ProgressiveOptions",
    "PruneOptions",
    "QuantizeOptions",
    "RetrainOptions",
    "Samples",
    "SearchOptions",
    "Stream",
    "TrainOptions",
    "Training",
    "TuneOptions",
    "Unsupported",
    "check_inputs",
    "check_parity",
    "compare_to_source",
    "compile_network",
    "deliver",
    "find_states",
    "finetune_all_at_once",
    "from_brevitas",
    "from_onnx",
    "from_torch",
    "load_build",
    "load_model",
    "load_network",
    "load_samples",
    "optimize_network",
    "predict",
    "prune_network",
    "quantize_input",
    "quantize_network",
    "quantize_progressively",
    "save_network",
    "search_bits",
    "simulate",
    "truncate_network",
    "verify",
    "with_states",
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
