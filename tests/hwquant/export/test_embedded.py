"""What was exported is read back to the same file, byte for byte; what was changed since is not believed."""

import base64
import zlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hwquant_testing.cut_models import CONSTANTS, conv, host_node, model
from hwquant_testing.onnx_mutations import mutated
from hwquant_testing.seeds import seed_ranges

import hwquant
from hwquant import hwq
from hwquant.cli import main
from hwquant.errors import Damaged, HwquantError
from hwquant.export import save_onnx, to_onnx
from hwquant.export.embedded import METADATA, text_of
from hwquant.frontends import from_onnx, load_model, load_network
from hwquant.interface import Input, Output
from hwquant.random_networks import Features, random_qgraph

KINDS = [
    Features(multiplier=True, inputs=2, outputs=2),
    Features(steps=(1, 2), weight_bits=(1, 8), per_channel=False),
    Features(products=True, copies=True, pool_chains=True),
    Features(tables=0.7, multiplier=True, channel_shifts=True),
    Features(products=True, tables=0.3, copies=True, steps=(2,), zero_blocks=0.8),
]


def network(seed):
    """A random network, with preprocessing, orders and functions at its ends."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, KINDS[seed % len(KINDS)])
    inputs, outputs = list(qgraph.inputs), list(qgraph.outputs)
    size = int(np.prod(inputs[0].shape))
    shift = rng.uniform(-1, 1, 1)
    inputs[0] = Input(
        "input", (size,), inputs[0].tensor_shape, rng.uniform(0.1, 1, size), shift, rng.permutation(size)
    )
    first = outputs[0]
    count = int(np.prod(first.shape))
    host = (("softmax", "argmax"), ("log_softmax",), ())[seed % 3]
    outputs[0] = Output(first.name, first.tensor, (count,), rng.permutation(count), host)
    outputs.append(Output("raw", first.tensor, first.shape))
    options = {"quantizer": {"bits": 8}, "notes": [None, "ü", 0.1]}
    return replace(qgraph, inputs=tuple(inputs), outputs=tuple(outputs), options=options)


def with_ends():
    """A network with parts of the host's before and after it."""
    nodes = [host_node("x", "h"), conv("h", "c"), host_node("c", "t")]
    graph = from_onnx(model(nodes, {"x": ("N", 2, 7, 6)}, ["t"], CONSTANTS, opset=12))
    x = np.random.default_rng(1).standard_normal((8, 2, 7, 6)).astype(np.float32)
    return hwquant.quantize_network(graph, x)


@pytest.mark.parametrize("seed", range(60))
def test_an_export_is_read_back_byte_for_byte(tmp_path, seed):
    qgraph = network(seed)
    save_onnx(qgraph, tmp_path / "net.onnx", layers=seed % 2 == 0)
    read = load_network(tmp_path / "net.onnx")
    assert hwq.to_bytes(read) == hwq.to_bytes(qgraph)
    save_onnx(read, tmp_path / "again.onnx", layers=seed % 2 == 0)
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("made", [network(4), with_ends()], ids=["network", "ends"])
def test_the_command_line(tmp_path, made):
    hwq.save(made, tmp_path / "net.hwq")
    model, again = tmp_path / "net.onnx", tmp_path / "again.hwq"
    assert command("export", tmp_path / "net.hwq", "-o", model).exit_code == 0
    result = command("quantize", model, "-o", again)
    assert result.exit_code == 0, result.stderr
    assert "with the integers that the network had" in result.stdout
    assert again.read_bytes() == (tmp_path / "net.hwq").read_bytes()
    assert "integer network" in command("inspect", model).stdout
    for arguments, message in [
        (("quantize", model, "-o", again, "--bits", "4"), "has its integers and its borders"),
        (("quantize", model, "-o", again, "--shape", "x=1,2"), "--shape is for"),
        (("quantize", model, "-o", again, "--inputs", "h"), "has its integers and its borders"),
        (("inspect", model, "--batch-axis", "none"), "--batch-axis is for"),
        (("inspect", model, "--state", "a=b"), "has all of it already"),
        (
            ("truncate", model, "-o", tmp_path / "t.hwq", "-c", tmp_path / "c.npz"),
            "a float network is needed",
        ),
    ]:
        result = command(*arguments)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def exported(seed=3):
    return to_onnx(network(seed))


def told(model, text):
    """A model with other metadata."""
    (item,) = (item for item in model.metadata_props if item.key == METADATA)
    item.value = text
    return model


@pytest.fixture
def read(tmp_path):
    """``read(model)``: what a file with it is read back to."""

    def written(made):
        (tmp_path / "net.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return load_network(tmp_path / "net.onnx")

    return written


def test_descriptions_may_change(read):
    shaped = onnx.shape_inference.infer_shapes(exported())
    shaped.doc_string = shaped.graph.doc_string = "mine"
    shaped.graph.node[0].doc_string = "first"
    shaped.metadata_props.add(key="author", value="me")
    assert hwq.to_bytes(read(shaped)) == hwq.to_bytes(network(3))


def test_what_was_changed_is_not_believed(read):
    weight = exported()
    tensor = next(item for item in weight.graph.initializer if item.data_type == onnx.TensorProto.UINT8)
    tensor.raw_data = bytes([tensor.raw_data[0] ^ 1]) + tensor.raw_data[1:]
    other = told(exported(), text_of(network(8)))
    shorter = exported()
    del shorter.graph.output[-1]
    for made in (weight, other, shorter):
        with pytest.raises(Damaged, match="does not compute what the network in the metadata"):
            read(made)


def test_damaged_metadata_are_refused(read):
    text = text_of(network(3))
    bomb = base64.b64encode(zlib.compress(bytes(100 << 20))).decode()
    for bad in ("", "*", text[:-8], text[:40] + text[44:], text + "AAAA", bomb):
        with pytest.raises(Damaged, match="is damaged"):
            read(told(exported(), bad))
    for content in (b"", b"{}", b"PK\x03\x04", hwq.to_bytes(network(3))[:-1]):
        with pytest.raises(Damaged, match=METADATA):
            read(told(exported(), base64.b64encode(zlib.compress(content)).decode()))
    twice = exported()
    twice.metadata_props.add(key=METADATA, value=text)
    with pytest.raises(Damaged, match="there twice"):
        read(twice)


def test_it_is_no_float_network(tmp_path, read):
    save_onnx(network(3), tmp_path / "net.onnx")
    for call in (lambda: load_model(tmp_path / "net.onnx"), lambda: from_onnx(exported())):
        with pytest.raises(HwquantError, match=r"that hwquant exported.*hwquant\.load_network reads it"):
            call()
    plain = exported()
    del plain.metadata_props[:]
    with pytest.raises(HwquantError, match="no integer network that hwquant exported"):
        read(plain)


@pytest.mark.parametrize("seeds", seed_ranges(30, 2000))
def test_mutations_are_refused_or_the_network_itself(seeds, read):
    for seed in seeds:
        made = network(seed % 40)
        content = mutated(to_onnx(made), seed)
        try:
            found = read(content)
        except HwquantError:
            continue
        assert hwq.to_bytes(found) == hwq.to_bytes(made)
