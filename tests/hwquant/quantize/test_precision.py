import numpy as np
import pytest

from hwquant.errors import HwquantError, Unsupported
from hwquant.graph import Conv, Graph
from hwquant.interface import Input, Output
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.groups import scale_groups
from hwquant.quantize.options import QuantizeOptions
from hwquant.quantize.precision import resolve_precision, tensor_bits, term_bits


def test_bits_may_name_any_fused_node(build):
    plan = plan_layers(build("residual", 0))
    for name in ("c3", "a1", "last"):
        bits = term_bits(plan, QuantizeOptions(bits={name: 4}))
        assert (bits["c3"], bits["a1"], bits["c1"]) == (4, 4, 8)  # a1 is the identity term
    plan = plan_layers(build("projection", 0))
    assert {name: term_bits(plan, QuantizeOptions(bits={"last": 3}))[name] for name in ("c2", "c3")} == {
        "c2": 3,
        "c3": 3,
    }
    bits = term_bits(plan, QuantizeOptions(bits={"c2": 3}))
    assert (bits["c2"], bits["c3"]) == (3, 8)


def test_tensors_that_share_a_scale_share_bits(build):
    plan = plan_layers(build("concat", 0))
    groups = scale_groups(plan)
    bits = tensor_bits(plan, groups, QuantizeOptions(activation_bits={"c3": 5, "x": 6}))
    assert bits[groups.find("k1")] == bits[groups.find("c2")] == 5
    assert bits[groups.find("x")] == 6
    with pytest.raises(HwquantError, match="asks for 5 at 'c2' and, through 'k1', for 6"):
        tensor_bits(plan, groups, QuantizeOptions(activation_bits={"c3": 5, "k1": 6}))


def test_every_term_has_the_scheme_that_the_options_name_for_it(build):
    plan = plan_layers(build("residual", 0))
    options = QuantizeOptions(bits={"c3": 4}, anchor="max", per_channel=True, rounding="truncate")
    precision = resolve_precision(plan, options)
    assert set(precision.schemes) == {layer.name for layer in plan.layers}
    assert [scheme.bits for scheme in precision.schemes["last"]] == [4, 4]
    assert {scheme.bits for scheme in precision.schemes["fc"]} == {8}
    found = [scheme for schemes in precision.schemes.values() for scheme in schemes]
    assert {(scheme.anchor, scheme.rounding) for scheme in found} == {("max", "truncate")}
    # A pool has one weight: it needs no channel scales.
    assert [scheme.per_channel for scheme in precision.schemes["avg"]] == [False]
    assert all(scheme.per_channel for scheme in precision.schemes["fc"])


def test_weights_whose_signs_a_single_bit_would_lose_are_refused():
    node = Conv("c", ("x",), np.array([1.0, -1.0]).reshape(2, 1, 1, 1), np.zeros(2))
    graph = Graph("signs", (Input("x", (1, 1, 1), (1, 1, 1)),), (node,), (Output("y", "c", (2, 1, 1)),))
    with pytest.raises(Unsupported, match=r"layer 'c': its weights are \+a and -a") as caught:
        resolve_precision(plan_layers(graph), QuantizeOptions(bits=1, grid="mid_tread"))
    assert caught.value.where == "c"
    (scheme,) = resolve_precision(plan_layers(graph), QuantizeOptions(bits=1)).schemes["c"]
    assert (scheme.grid, scheme.symmetric, scheme.per_channel) == ("mid_rise", True, False)
    two = Conv("c", ("x",), np.array([1.0, -1.0, 1.0, 0.5]).reshape(2, 2, 1, 1), np.zeros(2))
    other = Graph("other", (Input("x", (2, 1, 1), (2, 1, 1)),), (two,), graph.outputs)
    with pytest.raises(
        Unsupported, match="layer 'c': symmetric weights on a mid-tread grid need at least 2 bits"
    ):
        resolve_precision(plan_layers(other), QuantizeOptions(bits=1, symmetric=True))
    resolve_precision(plan_layers(graph), QuantizeOptions(bits=2, symmetric=True))
