"""The front for people: what is to be said of a pick, and a plot of accuracy against the goal."""

from __future__ import annotations

import io
from typing import Any

from hwquant.advice import Advice
from hwquant.optimize.result import Candidate, OptimizeResult
from hwquant.program.sides import array_name
from hwquant.search.report import plotting

SHOWN = 10.0
"""Candidates that lose more than so many times what may be lost, but at least `LEAST` points, are not plotted."""
LEAST = 5.0


def describe_candidate(result: OptimizeResult, item: Candidate) -> str:
    """Write in a line for people what a candidate is and does."""
    moved = item.measures["moved_bytes"]
    outside = f"{moved:,.0f} bytes through the board's memory, " if moved else ""
    return (
        f"{array_name(item.array)}, {item.measures['cycles']:,.0f} cycles, "
        f"{item.measures['fps']:,.0f} inferences a second of "
        f"the core at {item.measures['clock_mhz']:.1f} MHz (estimated), {item.measures['lut']:,.0f} LUTs, {outside}"
        f"accuracy {item.accuracy:.2%} ({result.change(item):+.2f} points)"
    )


def comparison(result: OptimizeResult, picked: Candidate) -> str:
    """Say in a line how much better the pick is than the best 8-bit dense build that fits."""
    times, baseline = result.improvement(picked), result.baseline
    if times is None or baseline is None:
        return f"no 8-bit dense build to compare with: {result.no_baseline}"
    return (
        f"{times:.2f} x the best 8-bit dense build that fits ({result.goal.title}: "
        f"{picked.measures[result.goal.name]:,.0f} and {baseline.measures[result.goal.name]:,.0f})"
    )


def judge_pick(result: OptimizeResult, picked: Candidate) -> tuple[Advice, ...]:
    """Judge whether a pick is no better than the best 8-bit dense build.

    Returns
    -------
    tuple of Advice
        One piece of the kind "nothing_found"; empty where all is well.
    """
    times = result.improvement(picked)
    if times is None or times > 1 or len(result.candidates) == 1:
        return ()
    text = "the pick is no better than the best 8-bit dense build: raise --max-drop, --trials or --epochs"
    return (Advice("nothing_found", result.board, text, "--max-drop", times),)


def optimize_plot(result: OptimizeResult, picked: Candidate | None = None) -> bytes:
    """Plot accuracy against the goal: dense, pruned and trained candidates, the front, the baseline and the pick.

    Parameters
    ----------
    result : OptimizeResult
        What was found.
    picked : Candidate, optional
        The candidate to mark.

    Returns
    -------
    bytes
        A PNG image.

    Raises
    ------
    MissingPackage
        The package that draws is not installed.
    """
    software = f"matplotlib {plotting().__version__}"
    from matplotlib.figure import Figure

    lowest = 100 * result.float_accuracy - max(LEAST, SHOWN * result.options.max_drop)
    shown = [item for item in result.candidates if 100 * item.accuracy >= lowest]
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axis: Any = figure.subplots()

    def scatter(items: list[Candidate], label: str, colour: str, marker: str, **style: Any) -> None:
        points = [(item.measures[result.goal.name], 100 * item.accuracy) for item in items]
        style = {"s": 18, "color": colour, **style}
        axis.scatter([x for x, _ in points], [y for _, y in points], label=label, marker=marker, **style)

    untrained = [item for item in shown if not item.trained]
    scatter([item for item in untrained if not item.design.network], "dense", "0.75", "o")
    scatter([item for item in untrained if item.design.network], "pruned", "tab:green", ".")
    scatter([item for item in shown if item.trained], "trained", "tab:purple", "^")
    front = [item for item in result.front if item in shown]
    line = sorted((item.measures[result.goal.name], 100 * item.accuracy) for item in front)
    axis.plot(
        [x for x, _ in line], [y for _, y in line], color="tab:blue", linewidth=0.8, label="Pareto front"
    )
    for item, label, colour, marker in (
        (result.baseline, "8-bit dense", "tab:orange", "s"),
        (picked, "picked", "tab:red", "*"),
    ):
        if item is not None:
            scatter([item], label, colour, marker, s=90, color=None, facecolor="none", edgecolor=colour)
    axis.axhline(100 * result.float_accuracy, color="0.4", linewidth=0.8, linestyle=":", label="float")
    axis.set_xlabel(f"{result.goal.title} on {result.board}")
    axis.set_ylabel("accuracy, %")
    axis.legend(frameon=False, fontsize=8)
    hidden = len(result.candidates) - len(shown)
    title = f"{result.task.graphs[0].name}: {len(result.candidates)} candidates"
    axis.set_title(title + (f", {hidden} of them below" if hidden else ""), fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": software})
    return buffer.getvalue()
