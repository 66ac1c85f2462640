"""``hwquant export``: an integer network as ONNX, for other runtimes."""

from __future__ import annotations

from pathlib import Path

import click

from hwquant.cli.common import emit, json_option
from hwquant.cli.outputs import ONNX, check_outputs


@click.command()
@click.argument("network", type=click.Path(path_type=Path), metavar="NET.hwq")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="NET.onnx")
@click.option("--layers", is_flag=True, help="Also output every tensor's integers, int8, as TENSOR/q.")
@json_option
def export(network: Path, output: Path, layers: bool, as_json: bool) -> None:
    """Write NET.hwq as an ONNX model of standard operators.

    Integer operators; what they compute is bit-equal to the golden model.
    """
    from hwquant import hwq
    from hwquant.export import save_onnx

    check_outputs({"--output": (output, ONNX)}, [network])
    qgraph = hwq.load(network)
    save_onnx(qgraph, output, layers=layers)
    tensors = [f"{name}/q" for name in qgraph.tensors] if layers else []
    result = {
        "model": str(output),
        "name": qgraph.name,
        "inputs": [item.name for item in qgraph.network_inputs],
        "outputs": list(qgraph.network_outputs),
        "layer_outputs": tensors,
    }
    given = f" and the integers of {len(tensors)} tensors" if layers else ""
    emit(as_json, result, f"wrote {output}: outputs {', '.join(qgraph.network_outputs)}{given}")
