"""Modules of Brevitas: read with their integers, by way of QONNX."""

import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from hwquant import golden
from hwquant.errors import HwquantError, MissingPackage
from hwquant.frontends import from_brevitas, from_torch, load_model
from hwquant.frontends.torch_onnx import quietly
from hwquant.quantize import quantize

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # packages that Brevitas could do with
    from brevitas import nn as qnn
    from brevitas.export import export_qonnx
    from brevitas.quant import Int8ActPerTensorFixedPoint, Int8WeightPerTensorFixedPoint
    from brevitas.quant.fixed_point import Uint8ActPerTensorFixedPoint


def network():
    """Scales are powers of two, so that all integers are Brevitas' own."""
    torch.manual_seed(0)
    weights = {"weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 3}
    made = nn.Sequential(
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, bit_width=6),
        qnn.QuantConv2d(2, 4, 3, padding=1, bias=False, **weights),
        qnn.QuantReLU(act_quant=Uint8ActPerTensorFixedPoint, bit_width=4),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(4 * 9, 5, False, **weights),
        qnn.QuantIdentity(act_quant=Int8ActPerTensorFixedPoint, bit_width=5),
    )
    with torch.no_grad():
        made(torch.randn(50, 2, 6, 6))  # in training mode ranges are learnt
    return made


def test_a_module_comes_in_with_its_integers_and_stays_as_it_is(tmp_path):
    module = network()
    x = torch.randint(-40, 40, (30, 2, 6, 6)) / 4  # none in the middle: an input is rounded half up
    graph = from_torch(module, x[:1])
    assert module.training
    assert not graph.given.lost
    qgraph = quantize(graph)
    with torch.no_grad():
        wanted = module.eval()(x).numpy()
    got = golden.predict(qgraph, x.numpy())[0]
    assert np.array_equal(got, wanted)
    path = tmp_path / "module.onnx"
    with quietly():
        export_qonnx(module, args=x[:1], export_path=str(path))
    assert np.array_equal(golden.predict(quantize(load_model(path)), x.numpy())[0], wanted)
    assert [term.bits for node in qgraph.nodes if hasattr(node, "terms") for term in node.terms].count(3) == 2


def test_a_float_module_is_not_taken_for_one():
    with pytest.raises(
        HwquantError, match=r"a Linear has no quantizers of Brevitas; hwquant\.from_torch reads"
    ):
        from_brevitas(nn.Linear(3, 2), torch.zeros(1, 3))


def test_what_brevitas_cannot_export_is_said():
    module = nn.Sequential(qnn.QuantLinear(3, 2, True))
    with pytest.raises(HwquantError, match=r"Brevitas cannot export Sequential: .+; make brevitas\.export"):
        from_brevitas(module, torch.zeros(1, 5))
    assert module.training


def test_without_brevitas_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "brevitas"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackage, match=r"'hwquant\[brevitas\]'"):
        from_brevitas(nn.Linear(3, 2), torch.zeros(1, 3))
