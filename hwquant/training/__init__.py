"""Fine-tuning of float and half-quantized networks in PyTorch, and progressive quantization (CN112884133A).

The names below are loaded when they are first used, PyTorch with them::

    TrainableNetwork                 a float Graph as a torch.nn.Module, and back
    Training, TrainOptions, TuneOptions, fit     with what to train, and how; and training
    accuracy                         of any module on labelled samples
    Checkpoint, owner                a file from which a training that was cut off goes on, and what it belongs to
    QuantizedNetwork                 a network whose weights and tensors become integers step by step
    progressive, ProgressiveOptions, finetune_all_at_once    from a Graph to a fine-tuned QGraph
    hold_out, Guard, Verdict         samples that decide, and whether a training made a network better
    distilled                        a training whose targets are the outputs of a float network
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hwquant.packages import load_package

if TYPE_CHECKING:
    from hwquant.training.checkpoint import Checkpoint, owner
    from hwquant.training.distill import distilled
    from hwquant.training.guard import Guard, Verdict, hold_out
    from hwquant.training.loop import Diverged, EpochResult, accuracy, fit
    from hwquant.training.network import TrainableNetwork
    from hwquant.training.options import ProgressiveOptions, TrainOptions, TuneOptions
    from hwquant.training.quantized import QuantizedNetwork
    from hwquant.training.stages import finetune_all_at_once, progressive
    from hwquant.training.training import Training

_PUBLIC = {
    "Checkpoint": "checkpoint",
    "Diverged": "loop",
    "EpochResult": "loop",
    "Guard": "guard",
    "ProgressiveOptions": "options",
    "QuantizedNetwork": "quantized",
    "TrainOptions": "options",
    "TrainableNetwork": "network",
    "Training": "training",
    "TuneOptions": "options",
    "Verdict": "guard",
    "accuracy": "loop",
    "distilled": "distill",
    "finetune_all_at_once": "stages",
    "fit": "loop",
    "hold_out": "guard",
    "owner": "checkpoint",
    "progressive": "stages",
}
"""The module of each public name."""

__all__ = [
    "Checkpoint",
    "Diverged",
    "EpochResult",
    "Guard",
    "ProgressiveOptions",
    "QuantizedNetwork",
    "TrainOptions",
    "TrainableNetwork",
    "Training",
    "TuneOptions",
    "Verdict",
    "accuracy",
    "distilled",
    "finetune_all_at_once",
    "fit",
    "hold_out",
    "owner",
    "progressive",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hwquant.training' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"hwquant.training.{_PUBLIC[name]}"), name)
    except (ImportError, OSError):
        load_package("torch", "torch", "torch", "training")  # says what is wrong with it
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
