"""The front for people: what is to be said of a pick, and a plot of accuracy against each cost."""

from __future__ import annotations

import io
from typing import Any

from hwquant.advice import Advice
from hwquant.packages import load_package
from hwquant.search.objectives import ACCURACY, OBJECTIVES
from hwquant.search.result import Candidate, SearchResult

WORTH_A_WORD = 0.5
"""Points of accuracy below 8 bits that are worth a warning, where nothing limits how many may be lost."""


def judge_pick(result: SearchResult, picked: Candidate) -> tuple[Advice, ...]:
    """Judge whether a pick is no better, or much less accurate, than the network with 8 bits everywhere.

    Parameters
    ----------
    result : SearchResult
        What the search found.
    picked : Candidate
        One of its candidates.

    Returns
    -------
    tuple of Advice
        One piece of the kind "nothing_found" or "search_costs"; empty where all is well.
    """
    where = result.task.observed.graph.name
    if picked == result.int8 and len(result.candidates) > 1:
        text = "the pick has 8 bits everywhere: no other candidate keeps to the constraints and costs less"
        return (
            Advice(
                "nothing_found", where, f"{text}; raise --max-drop, --trials or --bits", "--max-drop", 0.0
            ),
        )
    lost = result.drop(picked, "int8")
    if result.options.constraints.max_drop is None and lost > WORTH_A_WORD:
        text = f"the pick loses {lost:.1f} points of accuracy against 8 bits everywhere, as nothing limits its drop"
        return (
            Advice(
                "search_costs", where, f"{text}; give --max-drop, or loosen the limits", "--max-drop", lost
            ),
        )
    return ()


def plotting() -> Any:
    """Load the package that draws.

    Raises
    ------
    MissingPackage
        It is not installed.
    """
    return load_package("matplotlib", "matplotlib", "plot", "a plot of the front")


def front_plot(result: SearchResult, picked: Candidate | None = None) -> bytes:
    """Plot accuracy against each cost: all candidates, the front, int8, the pick and the float accuracy.

    Panels show the accuracies that are worth choosing among: candidates that lose more than ten times the
    allowed drop, but at least 5 points (20 without a bound), are left out, and counted in the title.

    Parameters
    ----------
    result : SearchResult
        What the search found.
    picked : Candidate, optional
        The candidate to mark.

    Returns
    -------
    bytes
        A PNG image with a panel for each cost.

    Raises
    ------
    MissingPackage
        The package that draws is not installed.
    """
    software = f"matplotlib {plotting().__version__}"
    from matplotlib.figure import Figure

    names = [name for name in result.options.objectives if name != ACCURACY]
    drop = result.options.constraints.max_drop
    lowest = 100 * result.float_accuracy - (20 if drop is None else max(5.0, 10 * drop))
    shown = [item for item in result.candidates if _percent(item) >= lowest]
    figure = Figure(figsize=(1.5 + 5 * max(1, len(names)), 4.2), layout="constrained")
    axes: Any = figure.subplots(1, max(1, len(names)), squeeze=False, sharey=True)[0]
    for axis, name in zip(axes, names):
        axis.scatter(
            [item.measures[name] for item in shown],
            [_percent(item) for item in shown],
            s=12,
            color="0.75",
            label="candidates",
        )
        front = [item for item in result.front if item in shown]
        axis.scatter(
            [item.measures[name] for item in front],
            [_percent(item) for item in front],
            s=22,
            color="tab:blue",
            label="Pareto front",
        )
        marks = [(result.int8, "int8", "s", "tab:orange")]
        if picked is not None:
            marks.append((picked, "picked", "*", "tab:red"))
        for item, label, marker, colour in marks:
            axis.scatter(
                item.measures[name],
                _percent(item),
                s=90,
                marker=marker,
                facecolor="none",
                edgecolor=colour,
                label=label,
            )
        axis.axhline(100 * result.float_accuracy, color="0.4", linewidth=0.8, linestyle=":", label="float")
        axis.set_xlabel(OBJECTIVES[name].title)
    axes[0].set_ylabel("accuracy, %")
    axes[0].legend(frameon=False, fontsize=8)
    hidden = len(result.candidates) - len(shown)
    title = f"{result.task.observed.graph.name}: {len(result.candidates)} candidates"
    figure.suptitle(title + (f", {hidden} of them below" if hidden else ""), fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": software})
    return buffer.getvalue()


def _percent(item: Candidate) -> float:
    return 100 * item.measures[ACCURACY]
