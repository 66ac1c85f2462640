"""Accuracy of the quantized mnist-conv on all 10,000 MNIST test images, for the quantizer's options.

    python benchmarks/mnist_accuracy.py

The network and the images are in the data folder (HWQUANT_DATA, by default ../shared/data beside the
checkout). Calibration data are the first 500 training images. Writes benchmarks/results/mnist_accuracy.json,
and exits 1 if the default options do not reach the target.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import data_folder, mnist
from results import write_results
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.frontends import load_model
from hwquant.quantize import quantize

TARGET = 0.9880
CALIBRATION_IMAGES = 500

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "anchor max": {"anchor": "max"},
    "offset truncated": {"rounding": "truncate"},
    "literal range": {"literal_range": True},
    "symmetric": {"symmetric": True},
    "per channel": {"per_channel": True},
    "per channel, symmetric": {"per_channel": True, "symmetric": True},
    "multiplier": {"scales": "multiplier"},
    "multiplier, per channel": {"scales": "multiplier", "per_channel": True},
    "calibration minmax": {"calibration_method": "minmax"},
    "calibration percentile": {"calibration_method": "percentile"},
    "no bias correction": {"bias_correction": False},
    "error compensation": {"error_compensation": True},
    **{
        f"{bits}-bit weights{', error compensation' if compensated else ''}": {
            "bits": bits,
            "error_compensation": compensated,
        }
        for bits in (6, 5, 4, 3, 2)
        for compensated in (False, True)
    },
    **{f"{bits}-bit activations": {"activation_bits": bits} for bits in (6, 5, 4)},
    **{
        f"{bits}-bit weights and activations, error compensation": {
            "bits": bits,
            "activation_bits": bits,
            "error_compensation": True,
        }
        for bits in (6, 5, 4)
    },
}


def measure(folder: Path) -> dict[str, Any]:
    """Accuracies of the float network and of all variants."""
    images, labels = mnist("t10k")
    training = mnist("train")[0][:CALIBRATION_IMAGES]
    graph = load_model(folder / "mnist_conv" / "model.onnx")
    exact = floating.predict(graph, images, dtype=np.float32)[0].argmax(axis=-1)
    rows = []
    for name, options in track(list(VARIANTS.items()), "quantizing", console=Console(stderr=True)):
        start = time.perf_counter()
        qgraph = quantize(graph, training, **options)
        elapsed = time.perf_counter() - start
        result = golden.predict(qgraph, images)[0].argmax(axis=-1)
        tensors: Any = qgraph.options["tensors"]
        rows.append(
            {
                "variant": name,
                "options": options,
                "correct": int(np.sum(result == labels)),
                "accuracy": float(np.mean(result == labels)),
                "agreement": float(np.mean(result == exact)),
                "output_sqnr_db": tensors[qgraph.outputs[0].tensor]["sqnr_db"],
                "quantize_seconds": round(elapsed, 2),
            }
        )
    return {
        "model": "mnist_conv/model.onnx",
        "calibration": f"first {CALIBRATION_IMAGES} MNIST training images",
        "test": f"{len(images)} MNIST t10k images",
        "target": TARGET,
        "float_accuracy": float(np.mean(exact == labels)),
        "variants": rows,
    }


def main() -> int:
    try:
        report = measure(data_folder())
    except (HwquantError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    table = Table("variant", "correct of 10,000", "agrees with float", "output SQNR", title=report["model"])
    for row in report["variants"]:
        table.add_row(
            row["variant"], str(row["correct"]), f"{row['agreement']:.2%}", f"{row['output_sqnr_db']:.1f} dB"
        )
    Console().print(table)
    print(f"float: {report['float_accuracy']:.2%}")
    print(write_results("mnist_accuracy", report))
    return 0 if report["variants"][0]["accuracy"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
