import pytest
from onnx import AttributeProto, helper
from onnx.helper import make_node

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.frontends import from_onnx

CALL = [make_node("F", ["x"], ["y"], domain="local")]


def function(name, nodes, opset=17, domain="local", defaults=(), imports=("", "local")):
    versions = {"": opset, "local": 1}
    imported = [helper.make_opsetid(item, versions[item]) for item in imports]
    return helper.make_function(domain, name, ["i"], ["o"], nodes, imported, [], list(defaults))


def leaky(attribute):
    node = make_node("LeakyRelu", ["i"], ["o"])
    node.attribute.append(AttributeProto(name="alpha", ref_attr_name=attribute, type=AttributeProto.FLOAT))
    return node


def chained(name, times):
    """A function that calls another several times, one after the other."""
    names = ["i", *(f"t{index}" for index in range(times - 1)), "o"]
    return [make_node(name, [names[index]], [names[index + 1]], domain="local") for index in range(times)]


@pytest.fixture
def model_of(build_onnx):
    def model(functions, nodes=CALL):
        built = build_onnx([make_node("Relu", ["x"], ["y"])], {"x": (3,)})
        built.graph.node.pop()
        built.graph.node.extend(nodes)
        built.functions.extend(functions)
        built.opset_import.append(helper.make_opsetid("local", 1))
        return built

    return model


@pytest.mark.parametrize("given", [{}, {"slope": 0.125}])
def test_attributes_that_a_call_leaves_out_have_the_functions_defaults(model_of, check_onnx, given):
    default = helper.make_attribute("slope", 0.375)
    call = make_node("F", ["x"], ["y"], domain="local", **given)
    model = model_of([function("F", [leaky("slope")], defaults=[default])], [call])
    before = model.SerializeToString()
    check_onnx(model)
    assert model.SerializeToString() == before


def test_a_call_in_a_branch_has_the_defaults_too(model_of, check_onnx):
    branches = [
        helper.make_graph([node], "branch", [], [helper.make_empty_tensor_value_info("t")])
        for node in (make_node("F", ["x"], ["t"], domain="local"), make_node("Neg", ["x"], ["t"]))
    ]
    truth = make_node("Constant", [], ["c"], value=helper.make_tensor("c", 9, [], [True]))
    choice = make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    default = helper.make_attribute("slope", 0.375)
    check_onnx(model_of([function("F", [leaky("slope")], defaults=[default])], [truth, choice]))


RELU = make_node("Relu", ["i"], ["o"])


@pytest.mark.parametrize(
    ("functions", "kind", "message"),
    [
        ([function("Relu", [RELU], domain="")], Unsupported, "'Relu' redefines an operator of ONNX"),
        ([function("Relu", [RELU], domain="ai.onnx")], Unsupported, "'Relu' redefines an operator of ONNX"),
        ([function("F", [RELU], opset=11)], Unsupported, "'F' uses operator set 11 .* and its model 17"),
        ([function("F", [RELU]), function("F", [RELU])], Damaged, "two functions have the name 'F'"),
        ([function("F", chained("F", 1))], Damaged, "function 'F' calls itself"),
        (
            [function("F", [RELU], imports=("local",))],
            Damaged,
            "nodes of 'ai.onnx', which it does not import",
        ),
    ],
)
def test_functions_that_runtimes_do_not_understand_alike_are_refused(model_of, functions, kind, message):
    with pytest.raises(kind, match=message):
        from_onnx(model_of(functions))


def test_a_function_that_nothing_calls_may_be_of_another_operator_set(model_of, check_onnx):
    check_onnx(model_of([function("F", [RELU]), function("G", [RELU], opset=11)]))


def test_functions_that_grow_without_bound_are_refused_before_they_do(model_of):
    levels = [function(f"F{level}", chained(f"F{level + 1}", 2)) for level in range(40)]
    functions = [function("F", chained("F0", 2)), *levels, function("F40", [RELU])]
    with pytest.raises(HwquantError, match=rf"its functions become {2**41} nodes, which is too many"):
        from_onnx(model_of(functions))
    few = [function("F", chained("F38", 2)), *levels[38:], function("F40", [RELU])]
    assert len(from_onnx(model_of(few)).nodes) == 8


def test_functions_of_functions_compute_what_runtimes_do(model_of, check_onnx):
    inner = function("G", [make_node("Neg", ["i"], ["o"])])
    nodes = [make_node("Relu", ["i"], ["r"]), make_node("G", ["r"], ["o"], domain="local")]
    check_onnx(model_of([function("F", nodes), inner]))
