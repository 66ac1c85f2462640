"""What was done to a network travels with it."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hwquant import hwq
from hwquant.describe import describe
from hwquant.errors import Damaged
from hwquant.fingerprint import fingerprint
from hwquant.frontends import from_onnx
from hwquant.history import KEY, METADATA, Step, history, merged, of_json, to_text, with_steps
from hwquant.quantize import quantize

FIRST = Step("prune", "31 % of the weights", {"passes": 3})
SECOND = Step("search", "4 bits")


def model(*metadata):
    """A small network, with texts as the metadata of hwquant."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 3, 3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for text in metadata:
        entry = made.metadata_props.add()
        entry.key, entry.value = METADATA, text
    return made


def calibration():
    return np.random.default_rng(0).standard_normal((4, 2, 3, 3))


def test_from_onnx_through_quantization_into_a_file(tmp_path):
    graph = from_onnx(model(to_text([FIRST])))
    assert graph.history == (FIRST,)
    qgraph = quantize(graph, calibration())
    qgraph = replace(qgraph, options=with_steps(qgraph.options, [SECOND]))
    hwq.save(qgraph, tmp_path / "net.hwq")
    loaded = hwq.load(tmp_path / "net.hwq")
    first, quantized, second = history(loaded.options)
    assert (first, second) == (FIRST, SECOND)
    assert quantized.method == "quantize"
    assert quantized.text.startswith("weights 8 bits, activations 8 bits; signal over noise")
    assert describe(loaded)["history"] == [step.to_json() for step in (first, quantized, second)]
    assert describe(graph)["history"] == [FIRST.to_json()]


def test_it_is_no_part_of_what_a_network_is():
    plain, told = from_onnx(model()), from_onnx(model(to_text([FIRST])))
    assert plain.history == ()
    assert fingerprint(plain) == fingerprint(told)
    assert [step.method for step in history(quantize(plain, calibration()).options)] == ["quantize"]


def test_steps_of_two_files_are_told_once():
    assert merged((FIRST,), (FIRST, SECOND)) == (FIRST, SECOND)


@given(st.lists(st.builds(Step, st.text(), st.text(), st.dictionaries(st.text(), st.integers()))))
def test_what_is_written_is_read(steps):
    assert of_json(json.loads(to_text(steps)), "it") == tuple(steps)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "{}",
        '["a"]',
        '[{"method": "a"}]',
        '[{"method": 1, "text": "", "details": {}}]',
        "[" * 9999,
    ],
)
def test_damage_is_refused(text):
    with pytest.raises(Damaged, match="net"):
        from_onnx(model(text))


def test_two_of_them_are_refused():
    with pytest.raises(Damaged, match="twice"):
        from_onnx(model("[]", "[]"))


def test_a_damaged_one_of_a_network_is_refused(tmp_path):
    qgraph = quantize(from_onnx(model()), calibration())
    qgraph = replace(qgraph, options=with_steps(qgraph.options, [FIRST]))
    qgraph.options[KEY][0]["text"] = 3
    hwq.save(qgraph, tmp_path / "net.hwq")
    with pytest.raises(Damaged, match="history"):
        hwq.load(tmp_path / "net.hwq")


def test_metadata_of_others_are_left_alone():
    made = model()
    entry = made.metadata_props.add()
    entry.key, entry.value = "author", "someone"
    onnx.checker.check_model(made)
    assert from_onnx(made).history == ()
