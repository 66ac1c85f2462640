"""What the host computes of a network: its beginning and its end (:mod:`hwquant.ends`), which the array cannot do.

``check`` refuses what may not be run, ``run`` computes an end: ``numpy_part`` where numpy has all its operators, else
onnxruntime.
"""

from hwquant.host.run import after, before

__all__ = ["after", "before"]
