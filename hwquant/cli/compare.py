"""``hwquant compare``: an integer network against the quantized model that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwquant.cli.common import count_option, data_option, emit, json_option
from hwquant.cli.progress import progress
from hwquant.cli.reading import Reading, reading_options
from hwquant.errors import HwquantError
from hwquant.printable import printable

if TYPE_CHECKING:
    from hwquant.agreement import Agreement


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="MODEL.onnx|MODEL.pt2|MODEL.tflite")
@click.argument("network", type=click.Path(path_type=Path), metavar="NET.hwq")
@data_option
@count_option
@reading_options
@json_option
def compare(
    source: Path, network: Path, data: Path, count: int | None, reading: Reading, as_json: bool
) -> None:
    """Compare NET.hwq with the quantized MODEL that it was made of.

    onnxruntime computes MODEL's integers for DATA.npz, torch those of a .pt2, and the golden model those of NET.hwq;
    "alone" is the largest difference of what a layer makes of MODEL's own integers.
    """
    from hwquant import agreement, hwq
    from hwquant.data import load_samples

    if reading.states:
        raise HwquantError(
            "--state is for networks that carry something from call to call, which are not compared"
        )
    qgraph = hwq.load(network)
    samples = load_samples(data, qgraph.given_inputs, count)
    with progress() as track:
        found = agreement.compare(
            source,
            qgraph,
            samples.x,
            shapes=reading.shapes,
            batch_axis=reading.batch_axis,
            progress=track,
        )
    result = {"network": str(network), "source": str(source), **found.to_json()}
    emit(as_json, result, _table(found), *_lines(found))


def _table(found: Agreement) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("layer")
    for name in ("equal", "within a step", "largest", "alone"):
        table.add_column(name, justify="right")
    for item in found.tensors:
        shares = (f"{item.equal:.3%}", f"{item.within:.3%}")
        table.add_row(Text(printable(item.tensor)), *shares, f"{item.largest:g}", f"{item.alone:g}")
    return table


def _lines(found: Agreement) -> list[str]:
    lines = [
        f"output {item.name}: the same choice for {item.same:.2%} of {found.samples} samples, the numbers differ by "
        f"{item.largest:.4g} at most"
        for item in found.outputs
    ]
    first = found.first
    where = "no integers differ by more than a step" if first is None else f"they part at {first.tensor}"
    return [*lines, where]
