"""The golden model: what an integer network computes, bit for bit.

:mod:`~hwquant.golden.reference` is the authority, in int64; :mod:`~hwquant.golden.fast` gives the same
integers at the speed of BLAS.
"""

from hwquant.golden.inference import (
    deliver,
    dequantized,
    outputs,
    predict,
    quantize_given,
    quantize_input,
    quantize_states,
    run,
)
from hwquant.golden.stream import Stream

__all__ = [
    "Stream",
    "deliver",
    "dequantized",
    "outputs",
    "predict",
    "quantize_given",
    "quantize_input",
    "quantize_states",
    "run",
]
