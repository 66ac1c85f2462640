import pytest

from hwquant.frontends.alternatives import GENERAL, alternative
from hwquant.frontends.aten_operators import OPERATORS as ATEN
from hwquant.frontends.onnx_operators import OPERATORS as ONNX


@pytest.mark.parametrize(
    ("operators", "advice"),
    [
        (("rrelu", "rrelu_with_noise_functional"), "use LeakyReLU"),
        (("LayerNormalization", "native_layer_norm", "LRN", "GroupNormalization"), "use batch norm"),
        (("LSTM", "GRU", "RNN", "lstm", "rnn_tanh"), "recurrent layers"),
        (("scaled_dot_product_attention", "MultiHeadAttention", "bmm", "baddbmm"), "use convolutions"),
        (("GridSample", "upsample_bilinear2d", "MaxUnpool"), "repeated, not interpolated"),
        (("GatherElements", "ScatterND", "topk"), "must be fixed"),
        (("Where", "gt", "le", "logical_and"), "choices are computed between functions of one tensor"),
        (("quantize_per_tensor", "QLinearWhere", "fake_quantize_per_tensor_affine"), "before quantization"),
        (("quantized_decomposed.dequantize_per_token", "torchao.quantize_affine"), "before quantization"),
        (("DynamicQuantizeLinear", "quantized_decomposed.choose_qparams"), "found by calibration"),
        (("embedding",), "table lookup"),
    ],
)
def test_operators_that_are_alike_get_the_same_advice(operators, advice):
    for operator in operators:
        assert advice in alternative(operator), operator


def test_an_operator_that_nobody_thought_of_gets_the_general_advice():
    assert alternative("NonMaxSuppression") == GENERAL


def test_no_advice_against_what_is_supported():
    choices = {
        "And",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Not",
        "Or",
        "Where",
        "Xor",
    }
    in_one_form = choices | {
        "Einsum",
        "bmm",
        "einsum",
        "eq",
        "ge",
        "gt",
        "le",
        "lt",
        "ne",
        "where",
    }  # advice for the others
    supported = {*ATEN, *ONNX} - in_one_form
    assert {alternative(operator) for operator in supported} == {GENERAL}
