"""A network with ends on the host, from quantization to files, export, command line and board: its whole outputs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hwquant_testing.cut_models import CONSTANTS, conv, host_node, model, rng, session
from hwquant_testing.mutations import resealed
from onnx import ModelProto, TensorProto, helper
from onnx.helper import make_node

import hwquant
from hwquant import container, golden, hwq
from hwquant.cli import main
from hwquant.describe import describe
from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.export import float_to_onnx, to_onnx
from hwquant.floating import predict
from hwquant.frontends import from_onnx
from hwquant.host import before
from hwquant.packages import load_package


def network():
    """A head, an array's part with two outputs, and a tail that reads all of it; operator set 11."""
    nodes = [
        host_node("x", "h"),
        conv("h", "c"),
        make_node("Relu", ["c"], ["r"]),
        make_node("Conv", ["r", "v"], ["d"], name="d"),
        make_node("Softmax", ["d"], ["s"], axis=3, name="s"),
        host_node("r", "t"),
        make_node("ReduceSum", ["t"], ["m"], axes=[2, 3], keepdims=0, name="m"),
        make_node("ReduceMax", ["x"], ["k"], axes=[1, 2, 3], keepdims=0, name="k"),
    ]
    constants = {**CONSTANTS, "v": rng(7).standard_normal((3, 4, 2, 2))}
    return model(nodes, {"x": ("N", 2, 7, 6)}, ["m", "s", "k"], constants, opset=12)


@pytest.fixture(scope="module")
def graph():
    return from_onnx(network())


@pytest.fixture(scope="module")
def x():
    return rng().standard_normal((24, 2, 7, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def qgraph(graph, x):
    return hwquant.quantize_network(graph, x, error_compensation=False)


def near(ours, wanted, share):
    for one, other in zip(ours, wanted, strict=True):
        assert one.shape == other.shape
        assert np.square(one - other).sum() <= share * np.square(other).sum()


def test_integers_give_the_whole_outputs(graph, qgraph, x):
    assert [item.name for item in qgraph.inputs] == ["h"]
    assert qgraph.network_outputs == ("m", "s", "k")
    near(hwquant.predict(qgraph, x), predict(graph, x), 1e-2)
    for exact, fast in zip(hwquant.predict(qgraph, x, exact=True), hwquant.predict(qgraph, x), strict=True):
        np.testing.assert_array_equal(exact, fast)


def test_the_head_is_run_once_and_what_it_gave_may_be_given(qgraph, x):
    inner = before(qgraph, x)
    assert set(inner) == {"x", "h"}
    assert before(qgraph, inner) is inner
    q = golden.quantize_input(qgraph, inner)
    np.testing.assert_array_equal(q["h"], golden.quantize_input(qgraph, x)["h"])
    for one, other in zip(
        golden.deliver(qgraph, inner, golden.run(qgraph, q)), hwquant.predict(qgraph, x), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_files_hold_the_ends(qgraph, x, tmp_path):
    hwq.save(qgraph, tmp_path / "net.hwq")
    loaded = hwq.load(tmp_path / "net.hwq")
    assert loaded.host.nodes == qgraph.host.nodes
    assert loaded.host.inputs == qgraph.host.inputs
    assert hwq.to_bytes(loaded) == (tmp_path / "net.hwq").read_bytes()
    for one, other in zip(hwquant.predict(loaded, x), hwquant.predict(qgraph, x), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_without_ends_is_written_as_before(qgraph, tmp_path):
    hwq.save(replace(qgraph, host=None), tmp_path / "net.hwq")
    members, arrays = container.read(tmp_path / "net.hwq", hwq.KIND, 1)
    assert "host" not in members["network"]
    assert not any(name.startswith("host") for name in arrays)
    hwq.save(qgraph, tmp_path / "new.hwq")
    with pytest.raises(HwquantError, match=r"version 3"):
        container.read(tmp_path / "new.hwq", hwq.KIND, 2)


def changed(path, change):
    """A file whose contents are changed and whose digests are right."""
    members, arrays = container.read(path, hwq.KIND, hwq.VERSION)
    tail = ModelProto.FromString(arrays["host/tail"].tobytes())
    change(members["network"]["host"], tail)
    arrays["host/tail"] = np.frombuffer(tail.SerializeToString(), np.uint8)
    container.write(path, hwq.KIND, hwq.VERSION, members, arrays)


def external(record, tail):
    tensor = tail.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def custom(record, tail):
    tail.graph.node[0].domain = "com.evil"


def loop(record, tail):
    tail.graph.node[0].op_type = "Loop"


def huge(record, tail):
    tail.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40


def invalid(record, tail):
    tail.graph.node[0].input[0] = "nobody"


def old(record, tail):
    tail.opset_import[0].version = 999


def two_domains(record, tail):
    tail.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def function(record, tail):
    tail.functions.append(helper.make_function("d", "f", [], [], [], [helper.make_opsetid("", 12)]))


def no_such_output(record, tail):
    record["outputs"] = ["nothing"]


def other_input(record, tail):
    record["inputs"][0]["name"] = "z"


def batch(record, tail):
    record["batch"] = 2


def counts(record, tail):
    record["macs"] = -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, r"the tail of network 'net' has data of '.*' in another file"),
        (custom, r"operators of the domain 'com.evil' are not run"),
        (loop, r"holds 'Loop': loops are not run"),
        (huge, r"the tail of network 'net' (has .* of \d+ elements|is no valid)"),
        (invalid, r"the tail of network 'net' is no valid ONNX model"),
        (old, r"uses ONNX operator set 999, the installed onnx package knows"),
        (two_domains, r"it may only use ONNX's own"),
        (function, r"holds functions, training or sparse tensors"),
        (no_such_output, r"does not fit: the user gets 'nothing', which nothing before gives"),
        (other_input, r"does not fit: its head reads 'x', which nothing before gives"),
        (batch, r"holds no batch of 2"),
        (counts, r"of -1 multiply-accumulates"),
    ],
)
def test_a_file_with_ends_that_may_not_be_run_is_refused(qgraph, tmp_path, change, message):
    hwq.save(qgraph, tmp_path / "net.hwq")
    changed(tmp_path / "net.hwq", change)
    with pytest.raises(Damaged, match=rf"net.hwq holds no valid network: .*{message}.*; quantize it again"):
        hwq.load(tmp_path / "net.hwq")


def test_bytes_that_are_no_model_are_refused(qgraph):
    for host in (replace(qgraph.host, tail=b"\xff\xff no model"), replace(qgraph.host, head=b"", tail=b"")):
        with pytest.raises(HwquantError, match=r"the tail of network 'net' is no ONNX model|'net' is empty"):
            hwq.to_bytes(replace(qgraph, host=host))


def test_resealed_ends_are_refused_or_safe(qgraph, x, tmp_path):
    hwq.save(qgraph, tmp_path / "net.hwq")
    for seed in range(60):
        (tmp_path / "changed.hwq").write_bytes(
            resealed(rng(seed), tmp_path / "net.hwq", hwq.KIND, hwq.VERSION)
        )
        try:
            hwquant.predict(hwq.load(tmp_path / "changed.hwq"), x[:1])
        except HwquantError:
            continue


def test_the_export_is_the_whole_network(graph, qgraph, x):
    for made, ours in (
        (to_onnx(qgraph, layers=True), hwquant.predict(qgraph, x)),
        (float_to_onnx(graph), predict(graph, x)),
    ):
        runtime = session(made)
        assert [item.name for item in runtime.get_inputs()] == ["x"]
        assert [item.name for item in runtime.get_outputs()][:3] == ["m", "s", "k"]
        for index, one in enumerate(x[:5]):
            for want, got in zip((item[index] for item in ours), runtime.run(None, {"x": one[None]})):
                np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-5)
    again = from_onnx(float_to_onnx(graph))
    assert [item.name for item in again.network_inputs] == ["x"]
    near(predict(again, x), predict(graph, x), 1e-9)


def test_a_description_names_the_hosts_nodes(qgraph):
    told = describe(qgraph)["host"]
    assert told["inputs"] == [{"name": "x", "shape": [2, 7, 6], "dtype": "float32"}]
    assert {(node["name"], node["end"]) for node in told["nodes"]} >= {
        ("h", "head"),
        ("s", "tail"),
        ("m", "tail"),
    }
    assert told["share"] == 0


def test_samples_out_of_range_are_noticed_behind_the_head(qgraph, x):
    assert hwquant.check_inputs(qgraph, 20 * x)[0].kind == "clipped_input"


def test_training_is_refused(graph):
    from hwquant.training import TrainableNetwork

    with pytest.raises(
        Unsupported, match=r"cannot be trained here: a part of it stays with the host \(such as 'h'"
    ):
        TrainableNetwork(graph)


def test_without_the_runtime_the_error_names_the_extra(monkeypatch):
    def absent(name, package=None):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("hwquant.packages.import_module", absent)
    with pytest.raises(HwquantError, match=r"hwquant\[host\]"):
        load_package("onnxruntime", "onnxruntime", "host", "running the tail of network 'net'")


def test_the_command_line_gives_the_whole_network(x, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(network().SerializeToString())
    labels = predict(from_onnx(network()), x)[0].argmax(axis=1)
    np.savez("data.npz", x=x, y=labels)
    runner = CliRunner()
    done = runner.invoke(
        main, ["quantize", "net.onnx", "-c", "data.npz", "-o", "net.hwq", "--no-error-compensation"]
    )
    assert done.exit_code == 0, done.output
    assert "on the array: 100.00% of" in done.output
    assert "on the host before it: h (CumSum); h: this operator is not supported" in done.output
    done = runner.invoke(main, ["evaluate", "net.hwq", "-d", "data.npz", "--json"])
    result = json.loads(done.stdout)
    assert result["output"] == "m"
    assert result["accuracy"] > 0.9
    assert runner.invoke(main, ["export", "net.hwq", "-o", "whole.onnx"]).exit_code == 0
    refused = runner.invoke(main, ["quantize", "net.onnx", "-c", "data.npz", "-o", "no.hwq", "--no-host"])
    assert refused.exit_code != 0
