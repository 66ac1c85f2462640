"""Files of torch.export.save: what is in them, and what must never be executed."""

import numpy as np
import pytest
import torch
from hwquant_testing.pt2_files import model_change, rewritten, weight_change
from torch import nn

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.floating import predict
from hwquant.frontends import load_model
from hwquant.frontends.pt2 import read_pt2


def test_the_saved_program_computes_what_the_module_does(saved):
    path, net, x = saved
    (got,) = predict(load_model(path), x.numpy())
    np.testing.assert_allclose(got, net(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_reading_needs_no_torch(saved, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(load_model(saved[0]).nodes) == 3


def test_every_type_and_stride_of_a_weight_is_read(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            whole = torch.arange(48.0).reshape(6, 8)
            self.register_buffer("all", whole)
            self.register_buffer("part", whole[1:4, 2::2])
            self.register_buffer("transposed", whole.T)
            self.register_buffer("narrow", torch.tensor([1.5, -2.25]).half())
            self.register_buffer("brain", torch.tensor([1.5, -2.25]).bfloat16())
            self.register_buffer("whole", torch.tensor([1, -(2**40)]))
            self.register_buffer("empty", torch.zeros(0, 3))

        def forward(self, x):
            return x

    net = Net()
    torch.export.save(torch.export.export(net, (torch.zeros(2, 2),)), tmp_path / "net.pt2")
    program = read_pt2(tmp_path / "net.pt2")
    labels = {label: name for name, label in program.labels.items()}
    for name, buffer in net.named_buffers():
        want = buffer.float().numpy() if buffer.is_floating_point() else buffer.numpy()
        np.testing.assert_array_equal(program.constants[labels[name]], want)


def test_symbolic_expressions_are_not_evaluated(tmp_path):
    path = tmp_path / "net.pt2"
    shapes = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(nn.Linear(4, 2), (torch.zeros(3, 4),), dynamic_shapes=shapes), path)
    found = []

    def change(name, document):
        if name == "models/model.json":
            expression = document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0]["as_expr"]
            found.append(expression["expr_str"])
            expression["expr_str"] = "__import__('os').abort()"

    rewritten(path, change)
    assert len(found) == 1
    assert load_model(path).inputs[0].shape == (4,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (model_change(schema_version={"major": 9, "minor": 1}), r"schema version 9, the supported one is 8"),
        (model_change(schema_version=3), r"does not have the form that torch.export.save writes"),
        (model_change(graph_module={}), r"does not have the form that torch.export.save writes \(KeyError"),
        (weight_change(dtype=9), r"tensor '0.weight' .* has type complex32"),
        (weight_change(layout=2), r"tensor '0.weight' .* layout sparse CSR"),
        (weight_change(storage_offset={"as_int": 50}), r"tensor '0.weight' is larger than its storage"),
        (weight_change(storage_offset={"as_int": -1}), r"negative size or stride"),
        (
            weight_change(sizes=[{"as_int": 10**9}] * 2, strides=[{"as_int": 0}] * 2),
            r"tensor '0.weight' is larger than its storage",
        ),
    ],
)
def test_crafted_contents_are_refused(saved, change, message):
    rewritten(saved[0], change)
    with pytest.raises(HwquantError, match=message):
        load_model(saved[0])


def test_an_error_in_a_file_says_which_torch_it_claims_to_be_from(saved):
    version = torch.__version__

    def change(name, document):
        if name == "models/model.json":
            del document["graph_module"]

    rewritten(saved[0], change)
    with pytest.raises(
        Damaged, match=rf"KeyError: 'graph_module'\); it says that torch {version.replace('+', '.')} wrote"
    ):
        load_model(saved[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            model_change(opset_version={"aten": 11}),
            r"operators of the versions {'aten': 11}, the supported one is 10",
        ),
        (model_change(schema_version={"major": 9, "minor": 0}), r"write it with torch 2.9 to 2.13"),
    ],
)
def test_other_versions_say_what_to_do(saved, change, message):
    rewritten(saved[0], change)
    with pytest.raises(Unsupported, match=message):
        load_model(saved[0])


def graph(edit):
    """A change of the graph in the model."""

    def change(name, document):
        if name == "models/model.json":
            edit(document["graph_module"])

    return change


def swapped_outputs(module):
    module["graph"]["outputs"] = [{"as_tensor": {"name": "relu"}}]


def mutated_buffer(module):
    spec = {"buffer_mutation": {"arg": {"name": "relu"}, "buffer_name": "1.running_mean"}}
    module["signature"]["output_specs"].insert(0, spec)


def gap(module):
    node = next(
        node
        for node in module["graph"]["nodes"]
        if "max_pool" in node["target"] or "flatten" in node["target"]
    )
    node["inputs"] = [node["inputs"][0], {"name": "end_dim", "arg": {"as_int": 1}, "kind": 1}]


def unknown_argument(module):
    module["graph"]["nodes"][0]["inputs"].append({"name": "magic", "arg": {"as_int": 1}, "kind": 2})


def unknown_overload(module):
    module["graph"]["nodes"][0]["target"] = "torch.ops.aten.conv2d.magic"


def constant_input(module):
    module["signature"]["input_specs"].append({"constant_input": {"name": "n", "value": {"as_int": 3}}})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (swapped_outputs, r"the graph's outputs are not those of its signature"),
        (mutated_buffer, r"it changes a buffer with every call"),
        (gap, r"its arguments by position \['self', 'end_dim'\] have a gap"),
        (unknown_argument, r"conv2d.default has no argument 'magic'"),
        (unknown_overload, r"its overload 'magic' is not supported"),
        (constant_input, r"input of the kind 'constant_input'"),
    ],
)
def test_crafted_graphs_are_refused_by_name(saved, edit, message):
    rewritten(saved[0], graph(edit))
    with pytest.raises(HwquantError, match=message):
        load_model(saved[0])


def test_tensors_that_share_a_member_have_one_type(saved):
    def change(name, document):
        if name.endswith("weights_config.json"):
            config = document["config"]
            config["4.bias"].update(path_name=config["4.weight"]["path_name"])
            config["4.bias"]["tensor_meta"].update(dtype=8)

    rewritten(saved[0], change)
    with pytest.raises(Damaged, match=r"is read as float32 and as float64"):
        load_model(saved[0])
