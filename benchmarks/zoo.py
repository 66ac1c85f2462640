"""Networks that people publish: what of each the array does, and what the whole network's outputs are worth.

For every ONNX file of the folder ``HWQUANT_ZOO``: the share of multiply-accumulates on the array and what stays with
the host; the float network against onnxruntime; int8 against float, for hwquant (the array's part in integers, a scale
for each channel; one a layer beside it) and for onnxruntime's own static quantization (per channel, QDQ, minimum and
maximum), calibrated on the same samples and measured on others; cycles of the compiled network, and one sample of the
simulated hardware (CXXRTL) against the golden model where that takes few enough cycles. Data are smooth random signals:
they say how near numbers are, not how well a network does its task. Writes ``benchmarks/results/zoo.json``.

    HWQUANT_ZOO=/path/to/zoo python benchmarks/zoo.py [--no-simulation] [NAME ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
from numpy.typing import NDArray
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.frontends import from_onnx
from hwquant.golden import quantize_input
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.quantize import quantize
from hwquant.sim.check import verify

Array = NDArray[Any]
Arrays = dict[str, Array]

SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "ppocr_cls": {"x": (1, 3, 48, 192)},
    "ppocrv4_det": {"x": (1, 3, 320, 320)},
    "silero_vad_16k": {"input": (1, 576), "state": (2, 1, 128)},
    "fsmn_vad": {"speech": (1, 20, 400)},
}
"""Sizes that models leave open, as they are usually run."""
SAMPLES, TESTED = 8, 4
ARRAY = (8, 8)
MOST_CYCLES = 3_000_000
MOST_MACS = 1_000_000_000
"""Above it a network is loaded only: the light_* files have constant weights, and take hours."""
FLOOR = 1e-6
"""Of the float comparison: onnxruntime's own sigmoid is off by so much, and some outputs are smaller."""
OPSET = 17


def main() -> None:
    """Measure all networks, or those that are named."""
    folder = os.environ.get("HWQUANT_ZOO")
    if folder is None or not Path(folder).is_dir():
        print("skipped: HWQUANT_ZOO names no folder of networks")
        return
    names = [item for item in sys.argv[1:] if not item.startswith("-")]
    files = sorted(path for path in Path(folder).glob("*.onnx") if not names or path.stem in names)
    results = {}
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results[path.stem] = measured(path, "--no-simulation" not in sys.argv)
        print(f"{path.stem}: {results[path.stem]}", flush=True)
    show(results)
    if not names:
        write_results(
            "zoo", {"samples": SAMPLES, "tested": TESTED, "array": list(ARRAY), "networks": results}
        )


def measured(path: Path, simulated: bool) -> dict[str, Any]:
    """All that is known of a network; what stopped it, where something did."""
    model = plain(onnx.load(path))
    result: dict[str, Any] = {}
    try:
        graph = from_onnx(model, shapes=SHAPES.get(path.stem))
        result |= facts(graph)
        if graph.macs() > MOST_MACS:
            return {**result, "stopped": f"more than {MOST_MACS:,} multiply-accumulates"}
        data = samples(graph, SAMPLES + TESTED)
        seen, fresh = part(data, slice(SAMPLES)), part(data, slice(SAMPLES, None))
        wanted = by_onnxruntime(model, fresh, graph)
        exact = floating.predict(graph, fresh)
        result["float_error"] = max(map(relative, exact, wanted))
        by_layer = golden.predict(quantize(graph, seen), fresh)
        qgraph = quantize(graph, seen, per_channel=True)
        result["sqnr_db"] = decibels(golden.predict(qgraph, fresh), wanted)
        result["per_layer_sqnr_db"] = decibels(by_layer, wanted)
        result["onnxruntime_sqnr_db"] = onnxruntime_int8(model, graph, seen, fresh, wanted)
        program = compile_network(qgraph, ARRAY)
        result["cycles"] = timing(program).cycles
        if simulated and result["cycles"] <= MOST_CYCLES:
            q = quantize_input(qgraph, part(fresh, slice(1)))
            found = verify(program, qgraph, q, simulator="cxxrtl", watch=1)
            result["mismatches"] = found.mismatches
    except HwquantError as error:
        result["stopped"] = str(error)
    return result


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model whose weights are no inputs any more, as quantizers want."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    return model


def facts(graph: Graph) -> dict[str, Any]:
    """What the array does, and what the host."""
    ends = graph.host
    nodes = () if ends is None else ends.nodes
    return {
        "macs": graph.macs(),
        "share": round(1 - graph.host_share, 5),
        "host": [f"{node.name} ({node.operator}, {node.end})" for node in nodes],
        "refused": [f"{node.name} ({node.operator}): {node.reason}" for node in nodes if node.reason],
    }


def samples(graph: Graph, count: int) -> Arrays:
    """Smooth random signals for every input; for integers, small ones."""
    rng = np.random.default_rng(2026)
    data = {}
    for item in graph.network_inputs:
        dtype, shape = np.dtype(getattr(item, "dtype", "float32")), (count, *item.shape)
        if dtype.kind in "iu":
            # A rate, where it is one number; else bytes or words.
            data[item.name] = (
                np.full(shape, 16_000, dtype) if not item.shape else rng.integers(0, 200, shape, dtype)
            )
            continue
        noise = rng.standard_normal(shape)
        for axis in range(1, len(shape)):
            if shape[axis] > 16:
                noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / np.sqrt(3)
        data[item.name] = noise.astype(dtype)
    return data


def part(data: Arrays, which: slice) -> Arrays:
    """Some of the samples."""
    return {name: array[which] for name, array in data.items()}


def feeds(graph: Graph, data: Arrays) -> Iterator[Arrays]:
    """The samples one by one, as onnxruntime takes them."""
    batched = {item.name: getattr(item, "batched", True) for item in graph.network_inputs}
    for index in range(len(next(iter(data.values())))):
        yield {
            n: array[index : index + 1] if batched[n] else np.asarray(array[index])
            for n, array in data.items()
        }


def by_onnxruntime(model: onnx.ModelProto, data: Arrays, graph: Graph) -> list[Array]:
    """The outputs of every sample, one after the other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    taken = {item.name for item in session.get_inputs()}
    rows = [
        session.run(None, {name: array for name, array in feed.items() if name in taken})
        for feed in feeds(graph, data)
    ]
    return [np.stack(outputs) for outputs in zip(*rows)]


def onnxruntime_int8(
    model: onnx.ModelProto, graph: Graph, seen: Arrays, fresh: Arrays, wanted: list[Array]
) -> float | str:
    """The signal to noise ratio of onnxruntime's own static quantization; the reason where it has none."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = feeds(graph, seen)

        def get_next(self) -> Arrays | None:
            return next(self._feeds, None)

    try:
        version = max(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
        model = onnx.version_converter.convert_version(model, OPSET) if version < OPSET else model
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantize_static(
                model,
                str(target),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
            )
            return decibels(by_onnxruntime(onnx.load(target), fresh, graph), wanted)
    except Exception as error:  # the quantizer and the converter raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def relative(ours: Array, wanted: Array) -> float:
    """The largest difference, relative to the largest number."""
    difference = float(np.abs(ours.ravel().astype(np.float64) - wanted.ravel()).max())
    return max(0.0, difference - FLOOR) / max(float(np.abs(wanted).max()), FLOOR)


def decibels(ours: list[Array], wanted: list[Array]) -> float:
    """The signal to noise ratio in dB, the mean of all outputs."""
    ratios = []
    for one, other in zip(ours, wanted, strict=True):
        exact = other.ravel().astype(np.float64)
        noise = float(np.square(one.ravel() - exact).sum())
        ratios.append(10 * np.log10(float(np.square(exact).sum()) / max(noise, 1e-30)))
    return round(float(np.mean(ratios)), 2)


def show(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the table."""
    table = Table(title=f"{SAMPLES} samples for calibration, {TESTED} measured; array {ARRAY[0]}x{ARRAY[1]}")
    for heading in (
        "network",
        "MACs",
        "on the array",
        "host nodes",
        "float error",
        "int8 dB",
        "per layer dB",
        "onnxruntime dB",
    ):
        table.add_column(heading)
    for heading in ("cycles", "mismatches", "stopped by"):
        table.add_column(heading)
    for name, row in results.items():
        other = row.get("onnxruntime_sqnr_db", "")
        table.add_row(
            name,
            f"{row['macs']:,}" if "macs" in row else "",
            f"{row['share']:.2%}" if "share" in row else "",
            str(len(row["host"])) if "host" in row else "",
            f"{row['float_error']:.1e}" if "float_error" in row else "",
            f"{row.get('sqnr_db', '')}",
            f"{row.get('per_layer_sqnr_db', '')}",
            f"{other:.2f}" if isinstance(other, float) else other[:40],
            f"{row['cycles']:,}" if "cycles" in row else "",
            str(row.get("mismatches", "")),
            str(row.get("stopped", ""))[:80],
        )
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
