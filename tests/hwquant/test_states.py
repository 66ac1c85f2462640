"""States: what an output gave goes to an input of the next call, integer by integer."""

import numpy as np
import pytest
import torch
from torch import nn

import hwquant
from hwquant import container, hwq
from hwquant.data import load_samples
from hwquant.driver.connection import Connection
from hwquant.errors import HwquantError
from hwquant.frontends import from_torch
from hwquant.golden import Stream, deliver, predict, quantize_given, quantize_input, run
from hwquant.graph import Graph
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.sim import simulate
from hwquant.sim.check import check
from hwquant.states import find_states, given, with_states

STEPS = 24


class Recurrent(nn.Module):
    """Two states, one of them a cache that is seen in another order than it is kept."""

    def __init__(self):
        super().__init__()
        self.x, self.h, self.y = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.old, self.new = nn.Conv1d(4, 6, 1), nn.Conv1d(5, 4, 1)

    def forward(self, x, state, in_cache):
        cached = self.old(in_cache.transpose(1, 2)).squeeze(2)
        hidden = torch.relu(self.x(x) + 0.5 * self.h(state) + cached)
        cache = torch.relu(self.new(x[:, :, None]))
        return self.y(hidden), hidden, cache.transpose(1, 2)


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(3)
    return Recurrent().eval()


@pytest.fixture(scope="module")
def graph(module):
    plain = from_torch(module, (torch.zeros(1, 5), torch.zeros(1, 6), torch.zeros(1, 1, 4)))
    _, hidden, cache = (item.name for item in plain.outputs)
    return with_states(plain, {hidden: "state", cache: "in_cache"})


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(STEPS, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def qgraph(graph, x):
    return hwquant.quantize_network(graph, x)


def test_the_float_network_is_the_module_called_step_by_step(module, graph, x):
    state, cache, wanted = torch.zeros(1, 6), torch.zeros(1, 1, 4), []
    with torch.no_grad():
        for sample in torch.from_numpy(x):
            out, state, cache = module(sample[None], state, cache)
            wanted.append(out.numpy()[0])
    np.testing.assert_allclose(predict(graph, x)[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_state_and_its_output_have_one_scale_and_every_integer_is_carried(qgraph, x):
    tensors = {output.name: output for output in qgraph.outputs}
    integers = quantize_input(qgraph, x)
    results = run(qgraph, integers)
    for item in qgraph.inputs:
        if item.state is None:
            continue
        output = tensors[item.state]
        own, source = qgraph.tensors[item.name], qgraph.tensors[output.tensor]
        assert (own.scale, own.zero_point, own.bits) == (source.scale, source.zero_point, source.bits)
        delivered = output.deliver(results[output.tensor]).reshape(STEPS, -1)
        order = slice(None) if item.order is None else item.order
        np.testing.assert_array_equal(integers[item.name].reshape(STEPS, -1)[1:], delivered[:-1][:, order])
        assert (integers[item.name][0] == own.zero_point).all()
        assert len(np.unique(integers[item.name])) > 5


def test_the_integers_stay_close_over_many_steps(graph, qgraph, x):
    wanted, got = predict(graph, x)[0], predict(qgraph, x)[0]
    assert 10 * np.log10(wanted.var() / (wanted - got).var()) > 25


@pytest.mark.parametrize("kind", ["float", "integer"])
def test_a_stream_goes_on_from_call_to_call(graph, qgraph, x, kind):
    network = graph if kind == "float" else qgraph
    stream, whole = Stream(network), predict(network, x)
    parts = [stream.predict(x[:1]), stream.predict({"x": x[1:7]}), stream.predict(x[7:])]
    for number, wanted in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[number] for part in parts]), wanted)
    assert not np.array_equal(stream.predict(x[:1])[0], whole[0][:1])
    stream.reset()
    np.testing.assert_array_equal(stream.predict(x[:1])[0], whole[0][:1])


def test_states_that_the_data_has_are_taken_from_it(qgraph, x):
    data = {"x": x, "state": np.zeros((STEPS, 6)), "in_cache": np.zeros((STEPS, 1, 4))}
    each = np.concatenate([predict(qgraph, x[index : index + 1])[0] for index in range(STEPS)])
    np.testing.assert_array_equal(predict(qgraph, data)[0], each)
    with pytest.raises(HwquantError, match=r"has the state 'state', but not all of state, in_cache"):
        predict(qgraph, {"x": x, "state": data["state"]})


def test_the_hardware_equals_the_golden_model_over_several_calls(qgraph, x):
    program = compile_network(qgraph, (4, 4))
    integers = quantize_input(qgraph, x[:4])
    result = simulate(program, program.frame(integers), simulator="amaranth", watch=4)
    verification = check(result, program, qgraph, integers)
    assert verification.mismatches == 0
    assert verification.cycles == timing(program).cycles


class Board(Connection):
    """A connection whose accelerator is the golden model, of one call at a time."""

    def __init__(self, qgraph, program):
        from hwquant.driver.connection import States

        self.qgraph, self.program = qgraph, program
        self._states, self._clean = States(qgraph.inputs, qgraph.outputs), True

    def _inferences(self, frames):
        for lanes in frames:
            start, tensors = 0, {}
            for item in self.program.inputs:
                tensors[item.name] = item.from_words(lanes[None, start : start + item.words])
                start += item.words
            outputs = run(self.qgraph, tensors)
            yield np.concatenate([item.to_words(outputs[item.name])[0] for item in self.program.outputs])


def test_the_driver_carries_the_states(qgraph, x):
    program = compile_network(qgraph, (8, 8))
    assert all(item.packing is None for item in program.inputs)
    board, whole = Board(qgraph, program), predict(qgraph, x)
    first = board.run(quantize_given(qgraph, x[:3]))
    second = board.infer(x[3:])
    for number, wanted in enumerate(whole):
        got = np.concatenate([deliver(qgraph, {}, first)[number], second[number]])
        np.testing.assert_array_equal(got, wanted)
    board.reset()
    np.testing.assert_array_equal(board.infer(x[:2])[0], whole[0][:2])


def test_files_keep_states_and_older_readers_refuse_them(qgraph, graph, x, tmp_path):
    hwquant.save_network(qgraph, tmp_path / "net.hwq")
    again = hwquant.load_network(tmp_path / "net.hwq")
    assert [item.state for item in again.inputs] == [item.state for item in qgraph.inputs]
    np.testing.assert_array_equal(predict(again, x)[0], predict(qgraph, x)[0])
    with pytest.raises(HwquantError, match=r"version 3"):
        container.read(tmp_path / "net.hwq", hwq.KIND, 2)


def test_data_files_have_no_arrays_for_states(qgraph, x, tmp_path):
    np.savez(tmp_path / "data.npz", x=x)
    samples = load_samples(tmp_path / "data.npz", qgraph.inputs)
    np.testing.assert_array_equal(predict(qgraph, samples.x)[0], predict(qgraph, x)[0])
    assert [item.name for item in given(qgraph.inputs)] == ["x"]


def made(inputs, outputs):
    """A network with these inputs and outputs, name and shape, whose tensors are its inputs."""
    items = tuple(Input(name, shape, (*shape, 1, 1)[:3]) for name, shape in inputs.items())
    tensors = {item.shape: item.name for item in items}
    return Graph(
        "net", items, (), tuple(Output(name, tensors[shape], shape) for name, shape in outputs.items())
    )


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        ({"speech": (5,), "in_cache0": (2,), "in_cache1": (2,)}, ("out_cache0", "out_cache1"), [0, 1]),
        ({"input": (5,), "state": (2,)}, ("stateN",), [0]),
        ({"x": (5,), "h": (2,), "c": (2,)}, ("hn", "cn"), [0, 1]),
        ({"x": (5,), "h0": (2,), "c_0": (2,)}, ("hn", "c_n"), [0, 1]),
        ({"x": (5,), "prev_state": (2,)}, ("new_state",), [0]),
        ({"x": (5,), "mask": (2,)}, ("y",), []),
        ({"x": (5,), "input": (2,)}, ("output",), []),
        ({"x": (5,), "in_a": (3,)}, ("out_b",), []),
    ],
)
def test_states_are_found_by_their_names(inputs, outputs, expected):
    names = list(inputs)[1:]
    graph = made(inputs, dict.fromkeys(outputs, inputs[names[0]]))
    assert find_states(graph) == {outputs[index]: names[index] for index in expected}


def test_what_could_be_several_is_refused():
    graph = made({"x": (5,), "cache": (2,), "in_cache": (2,)}, {"out_cache": (2,)})
    with pytest.raises(
        HwquantError, match=r"could be the next state of cache, in_cache; say which with --state"
    ):
        find_states(graph)
    with pytest.raises(HwquantError, match=r"none is left for data"):
        find_states(made({"in_x": (2,)}, {"out_x": (2,)}))


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"y": "z"}, r"no input 'z' to be a state"),
        ({"q": "h"}, r"no output 'q' to be the next state; there are y, h2"),
        ({"y": "h", "h2": "h"}, r"two outputs are the next state of input 'h'"),
        ({"y": "h"}, r"the state 'h' has the shape \(2,\), its output 'y' \(5,\)"),
        ({"h2": "h", "y": "x"}, r"all inputs are states"),
    ],
)
def test_states_that_make_no_sense_are_refused(states, message):
    graph = made({"x": (5,), "h": (2,)}, {"y": (5,), "h2": (2,)})
    with pytest.raises(HwquantError, match=message):
        with_states(graph, states)


@pytest.mark.parametrize("simulated", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_the_command_line(module, x, tmp_path, simulated):
    from click.testing import CliRunner

    from hwquant.cli import main

    example = torch.zeros(1, 5), torch.zeros(1, 6), torch.zeros(1, 1, 4)
    exported = torch.export.export(module, example)
    torch.export.save(exported, tmp_path / "net.pt2")
    plain = hwquant.load_model(tmp_path / "net.pt2")
    _, hidden, cache = (item.name for item in plain.outputs)
    np.savez(tmp_path / "x.npz", x=x, y=np.zeros(STEPS, np.int64))
    states = ["--state", f"{hidden}=state", "--state", f"{cache}=in_cache"]

    def call(*arguments):
        return CliRunner().invoke(main, list(map(str, arguments)))

    quantized = call(
        "quantize", tmp_path / "net.pt2", *states, "-c", tmp_path / "x.npz", "-o", tmp_path / "net.hwq"
    )
    assert quantized.exit_code == 0, quantized.output
    assert call("evaluate", tmp_path / "net.hwq", "-d", tmp_path / "x.npz").exit_code == 0
    bad = call("inspect", tmp_path / "net.pt2", "--state", "nothing")
    assert bad.exit_code == 2
    assert "is not OUTPUT=INPUT" in bad.output
    if not simulated:
        return
    assert call("compile", tmp_path / "net.hwq", "--array", "4x4", "-o", tmp_path / "build").exit_code == 0
    result = call(
        "simulate",
        tmp_path / "build",
        "-d",
        tmp_path / "x.npz",
        "-n",
        3,
        "--simulator",
        "amaranth",
        "--layers",
    )
    assert result.exit_code == 0, result.output
    assert "0 mismatches" in result.output
