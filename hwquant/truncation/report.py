"""Parity for people: what is to be said of it, and a plot."""

from __future__ import annotations

import io
from typing import Any

from hwquant.advice import Advice
from hwquant.packages import load_package
from hwquant.truncation.parity import ParityReport

MOST_LOST = 5.0
"""Points of accuracy that truncation may cost."""
LEAST_DB = 20.0
"""Least signal to noise ratio of the outputs, where no labels say what noise means."""


def judge_parity(report: ParityReport, name: str, trained: bool) -> tuple[Advice, ...]:
    """Say where truncation has cost a network its function, and which operator suffers most.

    Parameters
    ----------
    report : ParityReport
        The parity of the truncated network.
    name : str
        Name of the network.
    trained : bool
        Whether the network was fine-tuned after truncation, so that the advice is to do that better.

    Returns
    -------
    tuple of Advice
        Empty for a network that works.
    """
    weights = [item for item in report.operators if item.error.sqnr_db is not None]
    worst = min(weights, key=lambda item: item.error.sqnr_db or 0.0, default=None)
    hint = f"; {worst.name!r} alone has {worst.error.sqnr_db:.1f} dB" if worst is not None else ""
    remedy, option = (
        ("raise --epochs or change --lr", "--epochs") if trained else ("fine-tune with --train", "--train")
    )
    if report.to == "binary":
        remedy += ", or keep the ends with --int8-ends"
    if report.float_accuracy is not None and report.accuracy is not None:
        lost = 100 * (report.float_accuracy - report.accuracy)
        if lost > MOST_LOST:
            text = f"truncation to {report.to} loses {lost:.1f} points of accuracy{hint}: {remedy}"
            return (Advice("truncation_costs", name, text, option, lost),)
        return ()
    ratio = report.layers[-1].output.sqnr_db
    if ratio is not None and ratio < LEAST_DB:
        text = (
            f"outputs truncated to {report.to} have a signal to noise ratio of {ratio:.1f} dB{hint}: {remedy}"
        )
        return (Advice("low_sqnr", name, text, option, ratio),)
    return ()


def plotting() -> Any:
    """The package that draws; an error where it is absent."""
    return load_package("matplotlib", "matplotlib", "plot", "a parity plot")


def parity_plot(report: ParityReport) -> bytes:
    """Draw a PNG: SQNR of the operators above; of tensors and outputs, with the accuracy, by layer below."""
    software = f"matplotlib {plotting().__version__}"
    from matplotlib.figure import Figure

    width = 4 + 0.5 * max(4, len(report.operators), len(report.layers))
    figure = Figure(figsize=(width, 7), layout="constrained")
    above, below = figure.subplots(2, 1)
    kinds = list(dict.fromkeys(row.kind for row in report.operators))
    for index, kind in enumerate(kinds):
        rows = [(place, row) for place, row in enumerate(report.operators) if row.kind == kind]
        heights = [row.error.sqnr_db or 0.0 for _, row in rows]
        above.bar([place for place, _ in rows], heights, label=kind, color=f"C{index}")
        for place, row in rows:
            if row.error.sqnr_db is None:
                above.text(place, 0, "exact", rotation=90, ha="center", va="bottom", fontsize=8)
    _names(above, [row.name for row in report.operators])
    above.set_title(f"each operator alone, {report.to}", fontsize=10)
    above.set_ylabel("SQNR, dB")
    above.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))

    places = range(len(report.layers))
    gap = float("nan")  # matplotlib leaves it out
    lines = [("tensor", "o-", [row.tensor.sqnr_db for row in report.layers])]
    lines.append(("outputs of the network", "s--", [row.output.sqnr_db for row in report.layers]))
    for label, style, values in lines:
        below.plot(places, [gap if value is None else value for value in values], style, label=label)
    _names(below, [row.name for row in report.layers])
    below.set_title("truncated up to each layer", fontsize=10)
    below.set_ylabel("SQNR, dB")
    below.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.12, 1))
    if report.float_accuracy is not None:
        right = below.twinx()
        accuracies = [gap if row.accuracy is None else 100 * row.accuracy for row in report.layers]
        right.plot(places, accuracies, "^:", color="C3", label="accuracy")
        right.axhline(100 * report.float_accuracy, color="0.4", linewidth=0.8, linestyle=":")
        right.set_ylim(0, 102)
        right.set_ylabel("accuracy, %  (dotted: float)", color="C3")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": software})
    return buffer.getvalue()


def _names(axis: Any, names: list[str]) -> None:
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axis.grid(axis="y", linewidth=0.4)
