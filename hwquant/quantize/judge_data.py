"""What a user should know about calibration data: too few, all the same, or with samples unlike all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hwquant.advice import Advice
from hwquant.quantize.calibration import TensorStatistics
from hwquant.quantize.weight_scheme import Array

FEW_SAMPLES = 8
"""Below so many, ranges are those of single samples."""
RARE = 0.01
"""Share of the samples, at least one, that may be outliers."""
OUTLIER = 8.0
"""How far beyond all other samples an outlier reaches: it costs them 3 bits. Audio and normal noise stay below 2."""
TYPICAL = 64.0
"""How far the largest sample may exceed the middle one: that one then has 2 of 8 bits left."""


def judge_data(inputs: Mapping[str, Array], statistics: Mapping[str, TensorStatistics]) -> tuple[Advice, ...]:
    """Say what is wrong with calibration data.

    Parameters
    ----------
    inputs : mapping of ndarray of float64, shape (N,)
        The largest magnitude of every sample, by input name.
    statistics : mapping of TensorStatistics
        Statistics by tensor, of the inputs at least.

    Returns
    -------
    tuple of Advice
        Empty for healthy data.
    """
    advice: list[Advice] = []
    count = len(next(iter(inputs.values())))
    if count < FEW_SAMPLES:
        advice.append(
            Advice(
                "few_samples",
                next(iter(inputs)),
                f"the network was calibrated on {count} sample{'s' if count > 1 else ''}: ranges may be those of "
                "chance; give a few hundred typical ones",
                "--calibration-data",
                count,
            )
        )
    for name, peaks in inputs.items():
        if not statistics[name].variance.any():
            advice.append(
                Advice(
                    "constant_input",
                    name,
                    f"the calibration data of input {name!r} are the same everywhere: ranges of layers say nothing "
                    "about other data; give data in which it varies",
                    "--calibration-data",
                    count,
                )
            )
        else:
            advice += _outliers(name, peaks)
    return tuple(advice)


def _outliers(name: str, peaks: Array) -> Iterator[Advice]:
    samples = unusual(peaks)
    if samples:
        typical = float(np.median(peaks[peaks > 0]))
        ratio = float(peaks[samples[0]]) / typical
        more = (
            f", {len(samples) - 1} more {'is' if len(samples) == 2 else 'are'} like it"
            if len(samples) > 1
            else ""
        )
        yield Advice(
            "outliers",
            name,
            f"sample {samples[0]} of the calibration data of input {name!r} reaches {ratio:.3g} times as far as a "
            f"typical one{more}: the integers are spent on that; remove what is no typical input",
            "--calibration-data",
            ratio,
        )


def unusual(peaks: Array) -> list[int]:
    """Indices of the samples that take the range from all others, those that reach farthest first."""
    order = np.argsort(-peaks, kind="stable")
    rare = min(len(peaks) - 1, max(1, int(RARE * len(peaks))))
    others, largest = float(peaks[order[rare:]].max()), float(peaks[order[0]])
    if rare == 0 or others == 0:
        return []
    limit = min(OUTLIER * others, TYPICAL * float(np.median(peaks[peaks > 0])))
    return [int(index) for index in order if peaks[index] >= limit] if largest >= limit else []
