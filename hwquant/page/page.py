"""The report of a build folder as one HTML file that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwquant.advice import of_options
from hwquant.build import PAGE, Build
from hwquant.files import update_bytes
from hwquant.history import history
from hwquant.page.boards import board_results
from hwquant.page.memory import external_map, memory_map, occupancy
from hwquant.page.passes import passes
from hwquant.page.record import Record, load_record
from hwquant.printable import printable
from hwquant.program.idle import judge_array
from hwquant.program.memories import memory_bits

if TYPE_CHECKING:
    from jinja2 import Environment

TICKS = 7
"""Numbers on an axis, about."""
MEMORIES = {
    "activation": "tensors between the layers",
    "weight": "weights of the tiles, in order of use",
    "accumulator": "partial sums of a block of pixels",
    "line": "delayed rows of depthwise layers",
    "parameter": "bias, shift and multiplier of every output channel",
    "program": "instructions",
    "table": "functions, for two columns each",
}


def write_page(build: Build) -> Path:
    """Write ``report.html`` from all that the folder holds now; equal contents give equal bytes.

    Parameters
    ----------
    build : Build
        The build folder, read.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    HwquantError
        The folder cannot be written, or its record or a board's report is damaged.
    """
    path = build.folder / PAGE
    # Made while nobody else writes it: of two commands, the second shows what the first has added.
    update_bytes(path, lambda: render(build, load_record(build.folder)).encode())
    return path


def render(build: Build, record: Record) -> str:
    """Make the page of a build and its record, as HTML text.

    Raises
    ------
    Damaged
        A board's report is damaged.
    """
    report, config = build.report, build.program.config
    rows = passes(build)
    spans = memory_map(build, rows)
    boards = board_results(build.folder)
    return (
        page_environment()
        .get_template("report.html")
        .render(
            report=report,
            config=config,
            passes=rows,
            spans=spans,
            occupancy=occupancy(spans, config.activation_depth, report.cycles),
            cycle_ticks=ticks(report.cycles),
            address_ticks=ticks(config.activation_depth),
            memories=_memories(build),
            outside=external_map(build.program),
            boards=boards,
            best=next((item for item in boards if item.hertz), None),
            record=record,
            advice=(*of_options(build.qgraph.options), *judge_array(build.qgraph, build.program)),
            inputs=[_tensor(build, item.name) for item in build.qgraph.inputs],
            options=_options(build),
            history=history(build.qgraph.options),
            folder=build.folder.name,
        )
    )


def ticks(end: int) -> list[int]:
    """Choose round numbers from 0 up to ``end``, about TICKS of them."""
    step = 1
    while end / step > TICKS:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return list(range(0, end + 1, step))


def _memories(build: Build) -> list[dict[str, Any]]:
    config = build.program.config
    depths = {name: getattr(config, f"{name}_depth") for name in MEMORIES if name != "line"}
    depths["line"] = max(0, config.tap_lines - 1) * config.tap_depth
    bits = {name: count for name, count in memory_bits(config).items() if count}
    return [
        {
            "name": name,
            "what": MEMORIES[name],
            "bits": count,
            "words": depths[name],
            "width": count // depths[name],
            "share": count / sum(bits.values()),
        }
        for name, count in bits.items()
    ]


def _tensor(build: Build, name: str) -> dict[str, Any]:
    tensor = build.qgraph.tensors[name]
    return {"name": name, "shape": tensor.shape, "bits": tensor.bits, "zero_point": tensor.zero_point}


def _options(build: Build) -> dict[str, str]:
    """How the network was made, as far as its file says so in plain values."""
    options: dict[str, str] = {}
    for key, value in build.qgraph.options.items():
        inner = value if key == "quantizer" and isinstance(value, Mapping) else {key: value}
        options |= {
            name.replace("_", " "): str(item)
            for name, item in inner.items()
            if isinstance(item, bool | int | float | str)
        }
    return options


def page_environment() -> Environment:
    """The environment of templates, with the filters that write numbers."""
    # Imported here: commands that write no report start faster without it.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("hwquant.page"),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "short": short,
        "span": span,
        "percent": percent,
        "bytes": amount,
        "sizes": lambda text: re.sub(r"(?<=\d)x(?=\d)", "×", text),
        # Long names of layers may break behind their separators; Markup.join escapes what it joins.
        "breakable": lambda text: Markup("<wbr>").join(re.split(r"(?<=[/_.,])(?=.)", printable(text))),
    }
    return environment


def number(value: float, digits: int = 0) -> str:
    """Write a number with separators of thousands: 1234.5 as "1,234" or "1,234.5"."""
    return f"{value:,.{digits}f}"


def short(value: float) -> str:
    """Write a number with three digits and a prefix: 1234567 as "1.23 M"."""
    for unit in ("", " k", " M", " G"):
        if value < 1000 or unit == " G":
            break
        value /= 1000
    return f"{value:.3g}{unit}"


def percent(share: float, digits: int = 1) -> str:
    """Write a share in percent: 0.1234 as "12.3 %"."""
    return f"{share * 100:.{digits}f} %"


def amount(count: float, unit: str = "B") -> str:
    """Write a number of bytes or bits in the unit that people would choose."""
    for prefix in ("", "Ki", "Mi"):
        if count < 1024 or prefix == "Mi":
            break
        count /= 1024
    return f"{count:,.0f} {prefix}{unit}" if not prefix or count >= 100 else f"{count:,.1f} {prefix}{unit}"


def span(values: tuple[int, int]) -> str:
    """Write a range of integers: (3, 3) as "3", (3, 5) as "3 … 5"."""
    low, high = values
    return f"{low}" if low == high else f"{low} … {high}"
