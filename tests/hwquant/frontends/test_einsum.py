"""Products written as equations, and with the constant first, their import compared with onnxruntime."""

import pytest
from hwquant_testing.onnx_models import weights
from onnx.helper import make_node

from hwquant.errors import Unsupported
from hwquant.frontends import from_onnx

CONV = make_node("Conv", ["x", "w"], ["c"])


def products(build_onnx, node, *shape):
    """A convolution of (3, 6) to (5, 6), and what a node makes of its result ``c`` and the constant ``m``."""
    return build_onnx([CONV, node], {"x": (3, 6)}, {"w": weights(5, 3, 1), "m": weights(*shape)})


@pytest.mark.parametrize(
    ("equation", "shape"),
    [
        ("nct,oc->not", (7, 5)),
        ("n...t , tk -> n...k", (6, 2)),
        ("nct,c->nct", (5,)),
        ("nct,cth->nh", (5, 6, 3)),
    ],
)
def test_einsum_with_a_constant_is_a_layer_or_a_factor(build_onnx, check_onnx, equation, shape):
    check_onnx(products(build_onnx, make_node("Einsum", ["c", "m"], ["y"], equation=equation), *shape))


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5)])
def test_a_constant_matrix_may_be_first(build_onnx, check_onnx, shape):
    check_onnx(products(build_onnx, make_node("MatMul", ["m", "c"], ["y"]), *shape))


def test_an_equation_may_begin_with_the_constant(build_onnx, check_onnx):
    check_onnx(products(build_onnx, make_node("Einsum", ["m", "c"], ["y"], equation="oc,nct->not"), 4, 5))


@pytest.mark.parametrize(
    ("node", "shape", "message"),
    [
        (make_node("MatMul", ["m", "c"], ["y"]), (5,), r"weights of shape \(5,\) is not supported, only 2-D"),
        (
            make_node("Einsum", ["c", "c"], ["y"], equation="nct,nct->nc"),
            (5,),
            r"multiplies activations with each",
        ),
        (
            make_node("Einsum", ["c", "m"], ["y"], equation="nct,cto->nto"),
            (5, 6, 2),
            r"neither a linear layer nor",
        ),
        (make_node("Einsum", ["c"], ["y"], equation="nct->nc"), (5,), r"not supported"),
    ],
)
def test_other_products_are_refused(build_onnx, node, shape, message):
    with pytest.raises(Unsupported, match=message):
        from_onnx(products(build_onnx, node, *shape), host=False)
