"""Files of torch.export.save: what is in them, and what must never be executed."""

import io
import json
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hwquant_testing.limits import limited
from torch import nn

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.floating import predict
from hwquant.frontends import load_model
from hwquant.frontends.pt2 import read_pt2


def module():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)
    ).eval()


@pytest.fixture
def saved(tmp_path):
    """A program on disk, the module it came from, and an input."""
    torch.manual_seed(0)
    net, x = module(), torch.randn(3, 2, 6, 6)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (x,)), path)
    return path, net, x


def rewritten(path, change, drop=(), add=None):
    """The archive again, with its JSON members changed by ``change(name, document)``."""
    source = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            name, content = info.filename.partition("/")[2], source.read(info)
            if name in drop:
                continue
            if name.endswith(".json"):
                document = json.loads(content)
                change(name, document)
                content = json.dumps(document).encode()
            target.writestr(info.filename, content)
        for name, content in (add or {}).items():
            target.writestr(f"net/{name}", content)


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


class Harmful:
    """Unpickling this leaves a trace."""

    executed = False

    def __reduce__(self):
        return (setattr, (Harmful, "executed", True))


def test_pickled_example_inputs_are_never_opened(saved):
    path, net, x = saved
    sample = "data/sample_inputs/model.pt"
    rewritten(path, lambda name, document: None, drop=[sample], add={sample: pickle.dumps(Harmful())})
    (got,) = predict(load_model(path), x.numpy())
    np.testing.assert_allclose(got, net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert not Harmful.executed


def test_pickled_weights_are_refused_unopened(saved):
    path = saved[0]

    def change(name, document):
        if name.endswith("weights_config.json"):
            document["config"]["0.weight"].update(use_pickle=True, path_name="evil")

    rewritten(path, change, add={"data/weights/evil": pickle.dumps(Harmful())})
    with pytest.raises(HwquantError, match=r"pickled tensor '0.weight'; hwquant never unpickles"):
        load_model(path)
    assert not Harmful.executed


def test_pickled_custom_objects_are_refused_unopened(saved):
    path = saved[0]

    def change(name, document):
        if name == "models/model.json":
            spec = {"custom_obj": {"arg": {"name": "obj", "class_fqn": "a.b"}, "custom_obj_name": "o"}}
            document["graph_module"]["signature"]["input_specs"].append(spec)

    rewritten(path, change)
    with pytest.raises(HwquantError, match=r"custom object among its inputs; hwquant never unpickles"):
        load_model(path)


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


@pytest.mark.parametrize("name", ["data/weights/model.pt", "data/constants/model.pt"])
def test_archives_of_older_versions_are_refused(saved, name):
    rewritten(saved[0], lambda *_: None, add={name: b"pickle"})
    with pytest.raises(HwquantError, match=r"before torch 2.9, whose weights are pickled"):
        load_model(saved[0])


def test_the_oldest_format_and_other_archives_are_refused(tmp_path):
    path = tmp_path / "net.pt2"
    for name, message in (
        ("serialized_exported_program.json", r"before torch 2.9"),
        ("something", r"holds no exported program; write one with torch.export.save"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"{}")
        with pytest.raises(HwquantError, match=message):
            load_model(path)


def test_truncated_files_are_refused_at_every_length(saved):
    path = saved[0]
    whole = path.read_bytes()
    # One of the members is an archive itself, so a piece of the file may be one.
    message = r"net.pt2' (is not a .pt2 file, or is truncated|holds no exported program)"
    for size in (*range(0, len(whole), 501), len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(HwquantError, match=message):
            load_model(path)


def test_a_flipped_byte_in_what_is_read_is_noticed(saved):
    path = saved[0]
    whole = path.read_bytes()
    archive = zipfile.ZipFile(path)
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if name.startswith(("data/weights", "models/")):
            lengths = whole[info.header_offset + 26 : info.header_offset + 30]
            header = 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            damaged = bytearray(whole)
            damaged[info.header_offset + header + info.file_size // 2] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(HwquantError, match=r"is damaged: Bad CRC-32"):
                load_model(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04" + bytes(100)])
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(HwquantError, match=r"not a .pt2 file, or is truncated"):
        load_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HwquantError, match=r"cannot read '.*no.pt2': No such file"):
        load_model(tmp_path / "no.pt2")


def graph_change(**changes):
    def change(name, document):
        if name == "models/model.json":
            document.update(changes)

    return change


def weight_change(**changes):
    def change(name, document):
        if name.endswith("weights_config.json"):
            document["config"]["0.weight"]["tensor_meta"].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (graph_change(schema_version={"major": 9, "minor": 1}), r"schema version 9, the supported one is 8"),
        (graph_change(schema_version=3), r"does not have the form that torch.export.save writes"),
        (graph_change(graph_module={}), r"does not have the form that torch.export.save writes \(KeyError"),
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


def test_other_byte_orders_and_compressed_archives_are_refused(saved, tmp_path):
    path = saved[0]
    copy = tmp_path / "copy.pt2"
    shutil.copy(path, copy)
    rewritten(path, lambda *_: None, drop=["byteorder"], add={"byteorder": b"big"})
    with pytest.raises(HwquantError, match=r"little-endian"):
        load_model(path)
    with zipfile.ZipFile(copy) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info), zipfile.ZIP_DEFLATED)
    with pytest.raises(HwquantError, match=r"is compressed"):
        load_model(path)


def central(data, name, offset, value):
    """The archive with a field of a member's entry in the directory at its end changed."""
    changed = bytearray(data)
    at = changed.rindex(name) - 46
    changed[at + offset : at + offset + len(value)] = value
    return bytes(changed)


def test_a_member_name_that_is_not_utf8_is_refused(saved):
    path = saved[0]
    data = path.read_bytes().replace(b"/byteorder", b"/byte\xff\xfe\xfder")
    name = next(name for name in zipfile.ZipFile(path).namelist() if name.endswith("/byteorder")).encode()
    flags = (1 << 11).to_bytes(2, "little")  # "the name is UTF-8"
    path.write_bytes(central(data, name.replace(b"byteorder", b"byte\xff\xfe\xfder"), 8, flags))
    with pytest.raises(Damaged, match=r"is not a .pt2 file, or is truncated"):
        load_model(path)


def test_two_members_of_one_name_are_refused(saved):
    path = saved[0]
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/byteorder", b"little")
    with pytest.raises(Damaged, match=r"has two members named 'byteorder'"):
        load_model(path)


def test_members_in_two_folders_are_refused(saved):
    path = saved[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data/weights/weight_9", b"")
    with pytest.raises(Damaged, match=r"has members in several folders, where torch has one"):
        load_model(path)


def test_sizes_that_are_lies_are_refused(saved):
    path = saved[0]
    data = path.read_bytes()
    sizes = (1 << 30).to_bytes(4, "little") * 2
    name = next(name for name in zipfile.ZipFile(path).namelist() if name.endswith("weight_0")).encode()
    path.write_bytes(central(data, name, 20, sizes))  # compressed and uncompressed
    with pytest.raises(Damaged, match=r"has members that are larger than the file"):
        load_model(path)


def test_bombs_are_refused_soon_and_in_little_memory(saved, tmp_path):
    path = saved[0]
    bomb = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/weights/weight_0", bytes(400 << 20))
    with limited(seconds=2, memory=300 << 20), pytest.raises(Damaged, match=r"is compressed"):
        load_model(bomb)

    # One small member, which the file says to repeat with strides of zero in as many weights as it likes.
    def expanded(name, document):
        if name.endswith("weights_config.json"):
            for payload in document["config"].values():
                count = len(payload["tensor_meta"]["sizes"])
                sizes = [{"as_int": 10**6}, *[{"as_int": 10}] * (count - 1)]
                payload["tensor_meta"].update(sizes=sizes, strides=[{"as_int": 0}] * count)

    rewritten(path, expanded)
    with limited(seconds=2, memory=300 << 20), pytest.raises(Damaged, match=r"is larger than its storage"):
        load_model(path)


def test_deep_json_is_refused(saved):
    rewritten(
        saved[0], lambda *_: None, drop=["models/model.json"], add={"models/model.json": b"[" * 100_000}
    )
    with pytest.raises(Damaged, match=r"does not have the form .*RecursionError"):
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
            graph_change(opset_version={"aten": 11}),
            r"operators of the versions {'aten': 11}, the supported one is 10",
        ),
        (graph_change(schema_version={"major": 9, "minor": 0}), r"write it with torch 2.9 to 2.13"),
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
