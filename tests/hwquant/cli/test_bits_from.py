"""Bits that a search or another network has, taken by the commands that quantize."""

import json
from dataclasses import replace

import pytest

from hwquant import hwq
from hwquant.history import Step, history, with_steps

FOUND = Step("search", "3 bits in the middle")


@pytest.fixture
def sources(network, demo_folder, tmp_path):
    """A network of mixed bits, and what a search would write that picked them."""
    bits = {"conv1": 5, "conv2": 3}
    qgraph = hwq.load(network)
    quantizer = {**qgraph.options["quantizer"], "bits": bits}
    options = with_steps({**qgraph.options, "quantizer": quantizer}, [FOUND])
    hwq.save(replace(qgraph, options=options), tmp_path / "mixed.hwq")
    front = {"picked": {"bits": bits, "activation_bits": {}, "accuracy": 0.9}, "history": [FOUND.to_json()]}
    (tmp_path / "front.json").write_text(json.dumps(front))
    return tmp_path


def quantized(hwquant, demo_folder, folder, *arguments):
    """The outcome of a command, and the network that it wrote."""
    output = folder / "out.hwq"
    calibration = demo_folder / "calibration.npz"
    done = hwquant(
        "quantize", demo_folder / "digits.onnx", "-c", calibration, "-o", output, *arguments, "--json"
    )
    return done, hwq.load(output) if output.exists() else None


@pytest.mark.parametrize("name", ["mixed.hwq", "front.json"])
def test_bits_and_history_are_taken(hwquant, demo_folder, sources, name):
    _, qgraph = quantized(hwquant, demo_folder, sources, "--bits-from", sources / name)
    assert qgraph.options["quantizer"]["bits"] == {"conv1": 5, "conv2": 3}
    assert history(qgraph.options)[0 if name == "front.json" else 1] == FOUND
    assert history(qgraph.options)[-1].text.startswith("weights 3 to 8 bits, activations 8 bits; ")


def test_the_command_line_goes_before_the_file(hwquant, demo_folder, sources):
    _, qgraph = quantized(hwquant, demo_folder, sources, "--bits-from", sources / "front.json", "--bits", "4")
    assert qgraph.options["quantizer"]["bits"] == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "no JSON"),
        (b"[]", "has no pick"),
        (b'{"picked": null}', "has no pick"),
        (b'{"picked": {"bits": {}}}', "has no pick"),
        (b'{"picked": {"bits": [4]}}', "has no pick"),
        (b'{"picked": {"bits": {"conv1": [4]}}}', "has no pick"),
        (b'{"picked": {"bits": {"conv1": 4}}, "history": 3}', "has a history that hwquant did not write"),
        (b'{"picked": {"bits": {"conv1": 9}}}', "9 is not in the range"),
        (b'{"picked": {"bits": {"nothing": 4}}}', "names 'nothing'"),
        (b'{"picked": {"bits": {"conv1": "x"}}}', "'x' is not a valid integer"),
    ],
)
def test_damage_is_refused(hwquant, demo_folder, tmp_path, content, message):
    file = tmp_path / "front.json"
    file.write_bytes(content)
    done, qgraph = quantized(hwquant, demo_folder, tmp_path, "--bits-from", file)
    done.fails(message)
    assert qgraph is None


def test_a_network_that_does_not_say_its_bits_is_refused(hwquant, demo_folder, sources):
    qgraph = hwq.load(sources / "mixed.hwq")
    hwq.save(replace(qgraph, options={}), sources / "silent.hwq")
    done, _ = quantized(hwquant, demo_folder, sources, "--bits-from", sources / "silent.hwq")
    done.fails("does not say with which bits it was quantized")
