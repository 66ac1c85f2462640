"""The golden model: what an integer network computes, bit for bit.

:mod:`~hwquant.golden.reference` is the authority, in int64; :mod:`~hwquant.golden.fast` gives the same
integers at the speed of BLAS.
"""

from hwquant.golden.inference import deliver, predict, quantize_input, run

__all__ = ["deliver", "predict", "quantize_input", "run"]
