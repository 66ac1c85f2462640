"""What to use in place of operators that are not supported, for the messages that refuse them."""

from __future__ import annotations

import re

GENERAL = (
    "build the network from convolution, linear layers, batch norm, activation functions, pooling, add, "
    "products, concatenation, reshapes and constant factors, the rest is the host's"
)
"""The advice for an operator that is not named here."""

_ADVICE = (
    (
        "rrelu.*",
        "use LeakyReLU with the mean of its slopes in its place",
    ),
    (
        "(native|simplified)?(layer|rms|group|instance|lp|localresponse|meanvariance)norm(alization)?|lrn",
        "it normalizes by statistics of the sample at hand; use batch norm, which is folded into the layers, "
        "and train again",
    ),
    (
        "(lstm|gru|rnn).*",
        "recurrent layers are not computed; use convolutions over the sequence, or let the host loop over "
        "the steps",
    ),
    (
        ".*attention|baddbmm|bmm|einsum",
        "it multiplies activations with each other, which the array cannot; use convolutions",
    ),
    (
        "(upsample(bi|tri)?(linear|cubic)|interpolate|gridsample|maxunpool).*|col2im|affinegrid",
        "pixels are repeated, not interpolated; use nearest neighbours or a transposed convolution, or end the network "
        "before it and enlarge its outputs on the host",
    ),
    (
        "gather(elements|nd)|scatter.*|topk|nonzero|unfold|im2col|unique",
        "what is taken from a tensor must be fixed, and in lines; let a convolution compute each part from the whole, "
        "or leave it to the host",
    ),
    (
        "where|g[te]|l[te]|eq|ne|greater.*|less.*|(not)?equal|(bitwise|logical)?(and|or|xor|not)",
        "choices are computed between functions of one tensor and single numbers, by such a function; if "
        "run_decompositions() made this of something else, export without it",
    ),
    (
        r"dynamicquantize.*|quantizeddecomposed\.chooseqparams.*",
        "its scales are those of the sample at hand; quantize with fixed ones, found by calibration",
    ),
    (
        r"qlinear.*|convinteger|matmulinteger|(?!quantizeddecomposed\.(de)?quantizeper(tensor|channel)$)(\w+\.)?"
        "(fake|de)?quantize(per|affine).*",
        "give hwquant the float network from before quantization, an ONNX model with QuantizeLinear and "
        "DequantizeLinear, or what convert_pt2e makes, with scales of tensors or channels",
    ),
    (
        "nativebatchnorm(legit)?(functional)?",
        "it normalizes by the batch at hand; use batch norm with running statistics, and export the module after "
        ".eval()",
    ),
    (
        "nativedropout|bernoulli.*|rand.*|normal.*|poisson",
        "it draws random numbers, as in training; export the module after .eval()",
    ),
    (
        r"higherorder\..*",
        "save program.run_decompositions(), and leave control flow out of forward()",
    ),
    (
        "embedding.*|onehot",
        "a table lookup is not computed; let the host look it up and give the network the result",
    ),
)
"""Patterns of operator names, lower case without underscores, and the advice."""


def alternative(operator: str) -> str:
    """What to do about an operator, by its name in ONNX or ATen."""
    name = operator.lower().replace("_", "")
    return next((advice for pattern, advice in _ADVICE if re.fullmatch(pattern, name)), GENERAL)
