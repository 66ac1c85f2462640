"""What compiling costs: processor seconds and peak memory of ``compile_network``, each in a process of its own.

ResNet8 (needs the data sets, HWQUANT_DATA) and an integer network of 1.2 million weights, on an 8x8 and a 16x16 array.
``--before`` names the Python of another checkout, which compiles the same files: its figures, and the ratios. The two
take turns, and of ``--rounds`` runs each the least time and the largest memory are kept; programs have to be equal.
Writes ``benchmarks/results/compile_cost.json``.

    python benchmarks/compile_cost.py --before ../before/.venv/bin/python
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
from results import write_results

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/support"))

import hwquant
from hwquant.qgraph import QGraph

ARRAYS = ("8x8", "16x16")

CHILD = """
import json, re, sys, time
from pathlib import Path
import hwquant
from hwquant.program.sides import parse_array
qgraph = hwquant.load_network(sys.argv[1])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
loaded, begin = peak(), time.process_time()
program = hwquant.compile_network(qgraph, parse_array(sys.argv[2]))
seconds, most = time.process_time() - begin, peak()
print(json.dumps({"seconds": seconds, "MiB": most, "MiB before": loaded, "checksum": program.checksum}))
"""
"""Memory is read before the checksum, which writes the images out as integers. It is VmHWM, since the peak that
``getrusage`` tells begins with that of the process which started this one."""


def resnet8() -> QGraph:
    """ResNet8 of MLPerf Tiny, as benchmarks/mlperf_tiny.py quantizes it by default."""
    import mlperf_networks

    graph = hwquant.from_onnx(mlperf_networks.model("ic"))
    return hwquant.quantize_network(graph, mlperf_networks.data("ic").calibration)


def large() -> QGraph:
    """Convolutions with 1.2 million weights, a third of them zero, and a global average of 1000 channels."""
    from hwquant_testing.small_networks import Net

    net = Net(0, x=(3, 52, 52))
    last = "x"
    for out, kernel, stride in (
        (32, 3, 2),
        (64, 3, 2),
        (128, 3, 1),
        (192, 3, 1),
        (192, 3, 1),
        (192, 3, 1),
        (1000, 1, 1),
    ):
        codes = net.rng.integers(-128, 128, (out, net.tensors[last].shape[0], kernel, kernel))
        codes[net.rng.random(codes.shape) < 1 / 3] = 0
        border = kernel // 2
        last = net.conv(
            last, out, (kernel, kernel), codes=codes, stride=(stride, stride), padding=(border,) * 4
        )
    net.conv(last, 1000, (13, 13), codes=np.ones((1000, 1, 13, 13)), groups=1000)
    return net.build()


NETWORKS = {"resnet8": resnet8, "1.2 M weights": large}


def compiled(python: str, network: Path, array: str) -> dict[str, float]:
    """One compilation in a new process."""
    command = [python, "-I", "-c", CHILD, str(network), array]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def costs(python: Mapping[str, str], network: Path, array: str, rounds: int) -> dict[str, dict[str, float]]:
    """The least seconds and the largest memory of each Python, in turn."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in python}
    for _ in range(rounds):
        for side, executable in python.items():
            runs[side].append(compiled(executable, network, array))
    if len({run["checksum"] for side in runs.values() for run in side}) > 1:
        raise SystemExit(f"{network.stem} on {array}: the programs differ")
    return {
        side: {
            "seconds": round(min(run["seconds"] for run in items), 3),
            "MiB": round(max(run["MiB"] for run in items)),
            "MiB_with_the_network_alone": round(max(run["MiB before"] for run in items)),
        }
        for side, items in runs.items()
    }


@click.command()
@click.option("--before", type=click.Path(exists=True), help="The Python of another checkout.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each.")
def main(before: str | None, rounds: int) -> None:
    """Seconds and peak memory of compiling."""
    python = ({"before": before} if before else {}) | {"now": sys.executable}
    names = [name for name in NETWORKS if name != "resnet8" or os.environ.get("HWQUANT_DATA")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder) / f"{name}.hwq"
            hwquant.save_network(NETWORKS[name](), path)
            for array in ARRAYS:
                row = {"network": name, "array": array, **costs(python, path, array, rounds)}
                if before:
                    row["ratio"] = {
                        key: round(row["now"][key] / row["before"][key], 3) for key in ("seconds", "MiB")
                    }
                print(row, flush=True)
                rows.append(row)
    write_results("compile_cost", rows)


if __name__ == "__main__":
    main()
