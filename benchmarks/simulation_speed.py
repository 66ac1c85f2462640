"""mnist-conv on an 8x8 array: the RTL in Verilator under cocotb against the golden model, and how fast that is.

100 test images end to end, every layer's tensor on the first 4 of them; then the same 100 images without
watching layers, once more, for the speed (the build is cached by then and not part of it), and in CXXRTL.
Needs the data sets (HWQUANT_DATA). Writes ``benchmarks/results/simulation_speed.json``.

    python benchmarks/simulation_speed.py
"""

from __future__ import annotations

from typing import Any

from datasets import data_folder, mnist
from results import write_results

from hwquant.frontends import load_model
from hwquant.golden import quantize_input
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.quantize import quantize
from hwquant.sim.check import verify

IMAGES, WATCHED = 100, 4


def main() -> None:
    calibration, images = mnist("train")[0][:500], mnist("t10k")[0]
    qgraph = quantize(load_model(data_folder() / "mnist_conv" / "model.onnx"), calibration)
    program = compile_network(qgraph, (8, 8))
    q = quantize_input(qgraph, images[:IMAGES])
    rows: list[dict[str, Any]] = []
    for simulator, watch in (("verilator", WATCHED), ("verilator", 0), ("cxxrtl", 0), ("cxxrtl", 0)):
        result = verify(program, qgraph, q, simulator=simulator, watch=watch)
        rows.append(
            {
                "simulator": simulator,
                "images": result.samples,
                "images_with_every_layer": result.watched,
                "mismatches": result.mismatches,
                "cycles_an_inference": result.cycles,
                "estimated": timing(program).cycles,
                "seconds": round(result.seconds, 3),
                "images_a_second": round(result.samples / result.seconds, 2),
                "cycles_a_second": round(result.simulated_cycles / result.seconds),
            }
        )
        print(rows[-1], flush=True)
    write_results("simulation_speed", rows)


if __name__ == "__main__":
    main()
