"""Quantization without training, side by side: hwquant, Brevitas and onnxruntime on two networks of MLPerf Tiny.

ResNet8 is calibrated on 500 training images and tested on 846; DS-CNN is calibrated on one half of its 1,000 samples
and tested on the other, both ways. Activations have 8 bits everywhere, and nothing is chosen on what is tested.

- hwquant: integers alone, 8-bit activations; only shifts between layers, or (marked) a 15-bit multiplier.
- Brevitas (0.13): float scales, a weight scale for every output channel, biases not quantized; 20 rounds of weight
  equalization, then GPTQ or Qronos with the order by activations, then bias correction. What it is given is its
  examples' default for CNNs (percentile 99.999), or minimum and maximum of the activations, as named.
- onnxruntime: static quantization to QDQ with 8-bit weights for every output channel and 8-bit biases' sums, ranges
  by minimum and maximum or by entropy; it has no narrower convolutions.

Needs the data sets (HWQUANT_DATA). Brevitas is no dependency: rows of it are left out, and named, where
``pip install brevitas`` was not done. Adds its rows to ``benchmarks/results/post_training.json`` one by one, so that
an interrupted run goes on.

    python benchmarks/post_training.py [hwquant] [brevitas] [onnxruntime] [ic] [kws]
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlperf_networks import NAMES, data, halves, model
from numpy.typing import NDArray
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden
from hwquant.frontends import from_onnx
from hwquant.graph import AveragePool, Clip, Conv, Graph
from hwquant.quantize import quantize

Array = NDArray[Any]
Predict = Callable[[Array], Array]
NETWORKS = ("ic", "kws")
BATCH = 50


@dataclass(frozen=True)
class Case:
    """A row of the table: a tool with its settings, at one width of weights."""

    tool: str
    settings: str
    bits: int
    make: Callable[[Graph, Array], Predict]


def hwquant_network(bits: int, **options: Any) -> Callable[[Graph, Array], Predict]:
    def make(graph: Graph, calibration: Array) -> Predict:
        qgraph = quantize(graph, calibration, bits=bits, **options)
        return lambda x: golden.predict(qgraph, x)[0]

    return make


def as_module(graph: Graph) -> Any:
    """A float network, batch normalization folded, as a PyTorch module that torch.fx can trace."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleDict()
            for index, node in enumerate(graph.nodes):
                if isinstance(node, Conv):
                    self.layers[str(index)] = convolution(node)
                elif isinstance(node, Clip):
                    self.layers[str(index)] = nn.ReLU()
                elif isinstance(node, AveragePool):
                    self.layers[str(index)] = nn.AvgPool2d(node.window.kernel, node.window.stride)

        def forward(self, x: Any) -> Any:
            values = {graph.inputs[0].name: x}
            for index, node in enumerate(graph.nodes):
                inputs = [values[name] for name in node.inputs]
                values[node.name] = (
                    self.layers[str(index)](*inputs)
                    if str(index) in self.layers
                    else torch.add(inputs[0], inputs[1])
                )
            return values[graph.outputs[0].tensor]

    def convolution(node: Conv) -> Any:
        out, per_group, *kernel = node.weight.shape
        top, left, bottom, right = node.window.padding
        made = nn.Conv2d(
            per_group * node.groups,
            out,
            tuple(kernel),
            node.window.stride,
            0,
            node.window.dilation,
            node.groups,
        )
        with torch.no_grad():
            made.weight.copy_(torch.tensor(node.weight))
            made.bias.copy_(torch.tensor(node.bias))
        if (top, left) == (bottom, right):
            made.padding = (top, left)
            return made
        return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), made)

    return Network().eval()


def brevitas_network(bits: int, method: str, percentile: float | None) -> Callable[[Graph, Array], Predict]:
    def make(graph: Graph, calibration: Array) -> Predict:
        import torch
        from brevitas.graph.quantize import preprocess_for_quantize
        from brevitas_examples.imagenet_classification.ptq import ptq_common as ptq

        torch.manual_seed(0)
        item = graph.inputs[0]

        def tensor(x: Array) -> Any:
            return torch.tensor(np.ascontiguousarray(item.prepare(x), np.float32))

        loader = [
            (tensor(calibration[start : start + BATCH]), None) for start in range(0, len(calibration), BATCH)
        ]
        network = preprocess_for_quantize(
            as_module(graph), equalize_iters=20, equalize_merge_bias=True, trace_model=True
        )
        network = ptq.quantize_model(
            network,
            backend="fx",
            weight_bit_width=bits,
            act_bit_width=8,
            bias_bit_width=None,
            weight_quant_granularity="per_channel",
            act_quant_percentile=percentile,
            act_quant_type="sym",
            scale_factor_type="float_scale",
            quant_format="int",
            weight_param_method="stats" if bits == 8 else "mse",
            act_param_method="stats",
        )
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            ptq.calibrate(loader, network)
            with torch.no_grad():
                network(loader[0][0])  # makes the scales of the weights
            if method == "gptq":
                ptq.apply_gptq(loader, network, act_order=True, use_quant_activations=True)
            else:
                ptq.apply_qronos(network, loader)
            ptq.apply_bias_correction(loader, network)
        network.eval()

        def predict(x: Array) -> Array:
            with torch.no_grad():
                parts = [network(tensor(x[start : start + BATCH])) for start in range(0, len(x), BATCH)]
            values = torch.cat([getattr(part, "value", part) for part in parts])
            return floating.finish(graph.outputs[0], values.double().numpy())

        return predict

    return make


def onnxruntime_network(name: str, method: str) -> Callable[[Graph, Array], Predict]:
    def make(graph: Graph, calibration: Array) -> Predict:
        import onnxruntime
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.parts = iter(
                    {"input": calibration[start : start + BATCH]}
                    for start in range(0, len(calibration), BATCH)
                )

            def get_next(self) -> dict[str, Array] | None:
                return next(self.parts, None)

        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{step}.onnx" for step in ("float", "ready", "integer")]
            paths[0].write_bytes(model(name).SerializeToString())
            quant_pre_process(str(paths[0]), str(paths[1]))
            quantization.quantize_static(
                str(paths[1]),
                str(paths[2]),
                Reader(),
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod[method],
            )
            session = onnxruntime.InferenceSession(paths[2].read_bytes(), providers=["CPUExecutionProvider"])
        return lambda x: np.concatenate(
            [session.run(None, {"input": x[start : start + BATCH]})[0] for start in range(0, len(x), BATCH)]
        )

    return make


def cases(name: str) -> Iterator[Case]:
    """The rows of a network's table."""
    for bits in (8, 4, 3):
        for per_channel in (False, True):
            where = "per channel" if per_channel else "per tensor"
            yield Case("hwquant", f"{where}, shifts", bits, hwquant_network(bits, per_channel=per_channel))
        multiplied = hwquant_network(bits, per_channel=True, scales="multiplier")
        yield Case("hwquant", "per channel, multiplier", bits, multiplied)
        plain = hwquant_network(bits, per_channel=True, error_compensation=False, equalization=False)
        yield Case("hwquant", "per channel, shifts, nearest codes", bits, plain)
        for method, percentile in (("gptq", 99.999), ("qronos", 99.999), ("qronos", 100.0)):
            words = f"per channel, float scales, {method}, percentile {percentile:g}"
            yield Case("brevitas", words, bits, brevitas_network(bits, method, percentile))
    for method in ("MinMax", "Entropy"):
        yield Case(
            "onnxruntime", f"per channel, float scales, {method}", 8, onnxruntime_network(name, method)
        )


def measure(name: str, case: Case) -> dict[str, Any]:
    """Right answers, agreement with the float network and signal to noise ratio, each sample tested once."""
    graph, inputs = from_onnx(model(name)), data(name)
    everything = slice(0, len(inputs.x))
    parts = halves(inputs.x) if not len(inputs.calibration) else [(slice(0, 0), everything)]
    right, same, signal, noise, seconds = 0, 0, 0.0, 0.0, 0.0
    for seen, tested in parts:
        calibration = inputs.calibration if len(inputs.calibration) else inputs.x[seen]
        start = time.process_time()
        predict = case.make(graph, calibration)
        seconds += time.process_time() - start
        exact, got = floating.predict(graph, inputs.x[tested])[0], predict(inputs.x[tested])
        right += int((got.argmax(axis=1) == inputs.y[tested]).sum())
        same += int((got.argmax(axis=1) == exact.argmax(axis=1)).sum())
        signal, noise = signal + float(np.square(exact).sum()), noise + float(np.square(got - exact).sum())
    return {
        "network": NAMES[name],
        "bits": case.bits,
        "tool": case.tool,
        "settings": case.settings,
        "accuracy": round(100 * right / len(inputs.x), 2),
        "agreement": round(100 * same / len(inputs.x), 2),
        "sqnr_db": round(10 * math.log10(signal / noise), 2),
        "cpu_seconds": round(seconds / len(parts), 1),
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    table = Table("network", "bits", "tool", "settings", "right %", "as float %", "dB", "CPU s")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=140).print(table)


def main() -> None:
    tools = [item for item in ("hwquant", "brevitas", "onnxruntime") if item in sys.argv[1:]]
    names = [item for item in NETWORKS if item in sys.argv[1:]] or list(NETWORKS)
    path = FOLDER / "post_training.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["results"] if path.exists() else []
    done = {(row["network"], row["bits"], row["tool"], row["settings"]) for row in rows}
    for name in names:
        for case in cases(name):
            if (NAMES[name], case.bits, case.tool, case.settings) in done or (
                tools and case.tool not in tools
            ):
                continue
            if importlib.util.find_spec(case.tool) is None:
                print(
                    f"{case.tool} is not installed: left out {NAMES[name]}, {case.bits} bits, {case.settings}"
                )
                continue
            rows.append(measure(name, case))
            print(*rows[-1].values(), sep="  ", flush=True)
            rows.sort(key=lambda row: (row["network"], -row["bits"], row["tool"], row["settings"]))
            write_results("post_training", rows)
    show(rows)


if __name__ == "__main__":
    main()
