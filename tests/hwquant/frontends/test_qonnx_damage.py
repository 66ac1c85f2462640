"""QONNX models that are refused, or damaged: by name, and never where QONNX's own executor would not run them."""

from collections import Counter

import numpy as np
import onnx
import pytest
from hwquant_testing.limits import attempt
from hwquant_testing.qonnx_models import QonnxModel, executed, random_network
from hwquant_testing.qonnx_mutations import mutated
from hwquant_testing.seeds import seed_ranges
from onnx import numpy_helper

from hwquant.errors import HwquantError, Unsupported
from hwquant.frontends import from_onnx
from hwquant.frontends.refusals import Invalid

SHAPE = (3, 6, 6)


def model():
    return QonnxModel(np.random.default_rng(0))


def quantizer(scale=0.5, bits=4, **changes):
    made = model()
    x = made.node("Conv", [made.quant("x", 0.5, 4), made.weight((2, 3, 3, 3), 4, 0.5)])
    return made.model(made.quant(x, scale, bits, **changes), SHAPE)


REFUSED = [
    ({"bits": 12}, Unsupported, "its activations have 12 bits; those of the array have at most 8"),
    ({"bits": 4.5}, Unsupported, "4.5 bits, which is no whole number"),
    ({"bits": 0}, Invalid, "its integers have 0 bits"),
    ({"bits": -3}, Invalid, "its integers have -3 bits"),
    ({"bits": np.nan}, Invalid, "not made of finite numbers"),
    ({"bits": [4, 4]}, Unsupported, "2 widths"),
    ({"scale": 0}, Invalid, "its scale is 0, which must be positive"),
    ({"scale": -0.5}, Invalid, "its scale is -0.5"),
    ({"scale": np.inf}, Invalid, "not made of finite numbers"),
    ({"scale": np.ones((1, 2, 1, 1))}, Unsupported, "2 scales along an axis"),
    ({"zero": 0.5}, Unsupported, "its zero point is 0.5, which is no integer"),
    ({"zero": 9}, Unsupported, "its integers from -8 to 7 have none that stands for 0"),
    ({"rounding": "NEAREST"}, Invalid, "its rounding_mode is 'NEAREST'"),
    ({"rounding": "CEIL"}, Unsupported, "it rounds signed integers by 'CEIL'"),
    ({"rounding": "DOWN"}, Unsupported, "it rounds signed integers by 'DOWN'"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED)
def test_refusals_name_the_node_and_the_way_out(changes, kind, message):
    with pytest.raises(kind, match=r"QONNX node 'quant\d+' \(Quant\): ") as caught:
        from_onnx(quantizer(**changes), host=False)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["FloatQuant", "MultiThreshold", "XnorPopcountMatMul"])
def test_other_nodes_are_refused_by_name(name):
    made = model()
    x = made.node(name, [made.node("Conv", ["x", made.weight((2, 3, 3, 3), 4, 0.5)])], made.domain)
    with pytest.raises(Unsupported, match=rf"QONNX node '\w+' \({name}\): .+"):
        from_onnx(made.model(x, SHAPE))


def test_where_quantizers_are_not_read():
    made = model()
    x = made.node("Conv", [made.quant("x", 0.5, 4), made.weight((2, 3, 3, 3), 4, 0.5)])
    with pytest.raises(
        Unsupported, match="quantizers in operator set 6, where there are none; export it with 7"
    ):
        from_onnx(made.model(x, SHAPE, opset=6))
    numbers = [made.constant(item) for item in (0.5, 0, 4)]
    node = onnx.helper.make_node(
        "Quant", [x, *numbers], ["inner"], "inner", domain=made.domain, signed=1, narrow=0
    )
    output = onnx.helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, None)
    branch = onnx.helper.make_graph([node], "branch", [], [output])
    last = made.node("If", [made.constant(True, bool)], then_branch=branch, else_branch=branch)
    with pytest.raises(Unsupported, match=r"QONNX node 'inner' \(Quant\): it is in a branch"):
        from_onnx(made.model(last, SHAPE))


@pytest.mark.parametrize("seeds", seed_ranges(40, 2000))
def test_damaged_quantizers_are_refused_or_run_by_the_executor(seeds):
    counts = Counter()
    for seed in seeds:
        source, shape, _ = random_network(seed % 7)
        damaged = mutated(source, seed)
        try:
            graph = attempt(from_onnx, damaged)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        counts[type(graph).__name__] += 1
        if isinstance(graph, HwquantError):
            continue
        numbers = [numpy_helper.to_array(item) for item in damaged.graph.initializer]
        assert all(np.isfinite(item).all() for item in numbers), f"seed {seed}"
        try:
            found = executed(damaged, np.zeros((1, *shape)))[damaged.graph.output[0].name]
        except Exception as error:
            pytest.fail(f"seed {seed}: the executor refuses what was read: {error!r}")
        assert np.isfinite(found).all(), f"seed {seed}"
    print(dict(counts))
    assert min(counts["Graph"], counts["Invalid"]) >= len(seeds) // 25
