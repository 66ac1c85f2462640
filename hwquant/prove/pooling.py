"""Claims of what is below the array: the largest value of each pooling window, of all columns at once."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Mux, Signal, signed
from amaranth.lib.data import View

from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.collector import Collector
from hwquant.rtl_templates.jobs import pixel_layout
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.tables import COLUMNS


def maximum(config: ArrayConfig, name: str, tables: Sequence[int] = ()) -> Claim:
    """Results are maxima of what is in front of them, as the marks of the pixels say.

    Parameters
    ----------
    config : ArrayConfig
        Columns and widths.
    name : str
        What is said of it in the claim's name.
    tables : Sequence of int
        Contents of the table memories, whose values are in front of the maxima where there are any; else the
        requantizers' are.
    """
    columns, bits = config.columns, signed(config.activation_bits)

    def build(harness: Harness) -> None:
        dut = harness.component(Collector(config, tables))
        m, always, lemma = harness.m, harness.always, harness.lemma

        def marks(cycles: int) -> View:
            """The marks of the pixel of so many cycles ago."""
            return View(pixel_layout(), harness.before(dut.pixel, cycles))

        # A column does everything a cycle after the one before it.
        values = config.array_latency - dut.stages.sum + dut.stages.value
        best = []
        for c in range(columns):
            source = f"table{c // COLUMNS}.value{c % COLUMNS}" if config.tables else f"requantize{c}.value"
            value, mark = harness.inside(source, bits), marks(values + c)
            largest = Signal(bits, name=f"largest{c}")
            with m.If(mark.valid & mark.last):
                m.d.sync += largest.eq(Mux(mark.pool_first | (value > largest), value, largest))
            lemma(harness.inside(f"maximum{c}", bits) == largest)
            best.append(harness.before(largest, columns - 1 - c))
        before, final = marks(values + columns - 1), marks(values + columns)
        always(dut.results.valid == (final.valid & final.last & final.pool_last))
        for c in range(columns):
            always(~dut.results.valid | (dut.results.channels[c] == best[c]))
        always(dut.begins == (before.valid & before.layer))
        asked = marks(config.array_latency - dut.stages.sum - ParameterReader.latency)
        always(dut.parameters.start == (asked.valid & asked.parameters))

    return Claim(
        f"Collector: {name}",
        "a result comes for the last pixel of each pooling window, and no other; each of its channels is the largest "
        f"that its {'table' if config.tables else 'requantizer'} gave for the window's pixels, whenever these came; "
        "parameters are asked for, and a layer begins, as the marks of its first pixel say",
        build,
        Method.INDUCTION,
        config.drain_latency,  # no pixel takes longer
        # What the requantizers and tables give is other claims'.
        aside=(
            *("accumulator*", "requantize*", "address*", "bias*", "shift*", "clamp*"),
            *(("multiplier*",) if config.multiplier_bits else ()),
            *(("table*",) if config.tables else ()),
        ),
    )


CLAIMS = (
    maximum(ArrayConfig(2, 3, activation_bits=4, accumulator_depth=2, accumulator_bits=12), "3 columns"),
)
"""Few columns: each does the same as the one before it, a cycle later."""
