"""A LeNet of 4-bit weights and 4-bit activations, trained with Brevitas on Fashion-MNIST, here and there.

Trained are 55,000 images over a few epochs, as many for every seed; tested are 10,000 others. The network comes in
from Python (``hwquant.from_torch``) and through a QONNX file, and both must give the same integers. Compared with
Brevitas are the classes of all test images, and, where Brevitas quantizes the output, its integers. The hardware is
simulated on a few images.

Needs the data sets (HWQUANT_DATA) and ``pip install 'hwquant[brevitas,torch,sim]'``. Writes
``benchmarks/results/brevitas_lenet.json``; trained weights are kept in the folder that is named.

    python benchmarks/brevitas_lenet.py FOLDER [SEED ...]
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import fashion_mnist
from numpy.typing import NDArray
from results import write_results
from torch import nn

from hwquant import golden
from hwquant.frontends import from_torch, load_model
from hwquant.frontends.torch_onnx import quietly
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.quantize import quantize
from hwquant.sim.check import verify

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # packages that Brevitas could do with
    from brevitas import nn as qnn
    from brevitas.export import export_qonnx
    from brevitas.quant import Int8ActPerTensorFloat

Array = NDArray[Any]
EPOCHS, BATCH, BITS = 3, 100, 4
CALIBRATION, SIMULATED = 500, 3
ARRAY = (8, 8)


def network(output_bits: int | None) -> nn.Module:
    """LeNet-5 with batch normalization behind its convolutions; input 8 bits."""
    last = (
        {}
        if output_bits is None
        else {"output_quant": Int8ActPerTensorFloat, "output_bit_width": output_bits}
    )

    def conv(inside: int, out: int, padding: int) -> list[nn.Module]:
        return [
            qnn.QuantConv2d(inside, out, 5, padding=padding, weight_bit_width=BITS),
            nn.BatchNorm2d(out),
            qnn.QuantReLU(bit_width=BITS),
            nn.MaxPool2d(2),
        ]

    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8),
        *conv(1, 6, 2),
        *conv(6, 16, 0),
        nn.Flatten(),
        qnn.QuantLinear(400, 120, True, weight_bit_width=BITS),
        qnn.QuantReLU(bit_width=BITS),
        qnn.QuantLinear(120, 84, True, weight_bit_width=BITS),
        qnn.QuantReLU(bit_width=BITS),
        qnn.QuantLinear(84, 10, True, weight_bit_width=BITS, **last),
    )


def trained(folder: Path, seed: int, output_bits: int | None) -> nn.Module:
    """The network, trained now or before."""
    torch.manual_seed(seed)
    module, path = network(output_bits), folder / f"lenet_{seed}_{output_bits}.pth"
    if path.exists():
        module.load_state_dict(torch.load(path, weights_only=True))
        return module.eval()
    images, labels = fashion_mnist("train")
    x, y = torch.tensor(images / np.float32(255)).float(), torch.tensor(labels.astype(np.int64))
    steps = EPOCHS * len(x) // BATCH
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.cross_entropy(module(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    torch.save(module.state_dict(), path)
    return module.eval()


def brevitas_scores(module: nn.Module, x: Array) -> Array:
    with torch.no_grad():
        return np.concatenate([module(torch.tensor(part)).numpy() for part in np.array_split(x, 100)])


def through_a_file(module: nn.Module, example: Array) -> Graph:
    """The network of the QONNX file that Brevitas writes."""
    with tempfile.TemporaryDirectory() as folder, quietly():
        path = Path(folder) / "model.onnx"
        export_qonnx(module, args=torch.tensor(example), export_path=str(path))
        return load_model(path)


def measured(folder: Path, seed: int, output_bits: int | None) -> dict[str, Any]:
    """One row."""
    start = time.time()
    module = trained(folder, seed, output_bits)
    images, labels = fashion_mnist("test")
    calibration = fashion_mnist("validation")[0][:CALIBRATION] / np.float32(255)
    x = images / np.float32(255)
    known = None if output_bits else calibration  # what has no format is calibrated
    qgraph = quantize(from_torch(module, x[:1]), known)
    from_file = through_a_file(module, x[:1])
    scores, theirs = golden.predict(qgraph, x)[0], brevitas_scores(module, x)
    ours, wanted = scores.argmax(1), theirs.argmax(1)
    program = compile_network(qgraph, ARRAY)
    verification = verify(program, qgraph, golden.quantize_input(qgraph, x[:SIMULATED]), simulator="cxxrtl")
    row: dict[str, Any] = {
        "seed": seed,
        "output bits": output_bits or "not quantized in the source",
        "accuracy of Brevitas": float((wanted == labels).mean()),
        "accuracy here": float((ours == labels).mean()),
        "agreement": float((ours == wanted).mean()),
        "same through QONNX": bool((scores == golden.predict(quantize(from_file, known), x)[0]).all()),
        "RTL = golden": verification.first is None,
        "exact cycles": verification.cycles,
    }
    if output_bits:
        steps = np.round((scores - theirs) / qgraph.tensors[qgraph.outputs[0].tensor].scale)
        row["output integers equal"] = float((steps == 0).mean())
        row["output integers within a step"] = float((np.abs(steps) <= 1).mean())
    print(row, f"{time.time() - start:.0f} s", flush=True)
    return row


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True, parents=True)
    seeds = [int(item) for item in sys.argv[2:]] or [0, 1, 2]
    rows = [measured(folder, seed, bits) for seed in seeds for bits in (8, None)]
    write_results("brevitas_lenet", rows)


if __name__ == "__main__":
    main()
