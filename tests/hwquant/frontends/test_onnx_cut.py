"""A network is cut where the array can no more: the most to the array, the whole network's outputs from both."""

import numpy as np
import pytest
from hwquant_testing.cut_models import CONSTANTS, by_batches, conv, host_node, model, rng, session
from hwquant_testing.seeds import seed_ranges
from onnx import TensorProto
from onnx.helper import make_graph, make_node, make_tensor_value_info

from hwquant.errors import HwquantError, Unsupported, require
from hwquant.floating import predict
from hwquant.frontends import from_onnx

X = {"x": ("N", 2, 6, 5)}


def check(made, graph, batch=1, count=4, seed=0):
    """The whole network's outputs are onnxruntime's."""
    data = {
        item.name: rng(seed).standard_normal((count, *item.shape)).astype(np.float32)
        for item in graph.network_inputs
    }
    for ours, want in zip(predict(graph, data), by_batches(made, data, batch), strict=True):
        assert ours.shape == want.shape
        np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def names(graph, end):
    return [node.name for node in graph.host.nodes if node.end == end]


def test_what_the_array_can_do_from_end_to_end_is_not_cut():
    assert from_onnx(model([conv("x", "y")], X, ["y"], CONSTANTS)).host is None


def test_a_tail_stays_with_the_host():
    made = model([conv("x", "c"), make_node("Relu", ["c"], ["r"]), host_node("r", "y")], X, ["y"], CONSTANTS)
    graph = from_onnx(made)
    assert names(graph, "tail") == ["y"]
    assert names(graph, "head") == []
    assert graph.host.nodes[0].operator == "CumSum"
    assert graph.host.nodes[0].reason.startswith("this operator is not supported")
    assert graph.host_share == 0
    assert [output.name for output in graph.outputs] == ["r"]
    assert graph.network_outputs == ("y",)
    check(made, graph)


def unrunnable(source, target):
    """Nodes of which onnxruntime has none for numbers of 64 bits."""
    return [
        make_node("Cast", [source], [f"{target}64"], to=TensorProto.DOUBLE),
        make_node("Hardmax", [f"{target}64"], [target], name=target),
    ]


def test_a_tail_that_onnxruntime_cannot_build_is_refused_when_it_is_read():
    made = model([conv("x", "c"), *unrunnable("c", "y")], X, ["y"], CONSTANTS)
    with pytest.raises(
        Unsupported, match=r"^the tail of network 'net' cannot be run by onnxruntime: .*Hardmax"
    ):
        from_onnx(made)


def test_a_network_is_read_where_onnxruntime_is_not_installed(monkeypatch):
    def load(module, package, extra, purpose):
        raise require(package, extra, purpose)

    monkeypatch.setattr("hwquant.host.run.load_package", load)
    made = model([conv("x", "c"), *unrunnable("c", "z")], X, ["z"], CONSTANTS)
    assert names(from_onnx(made), "tail")[-1] == "z"


def test_a_head_stays_with_the_host_and_data_are_those_of_the_whole_network():
    made = model([host_node("x", "h"), conv("h", "c"), make_node("Relu", ["c"], ["y"])], X, ["y"], CONSTANTS)
    graph = from_onnx(made)
    assert [item.name for item in graph.inputs] == ["h"]
    assert [(port.name, port.shape, port.dtype) for port in graph.network_inputs] == [
        ("x", (2, 6, 5), "float32")
    ]
    check(made, graph)


def test_the_tail_reads_the_users_input_and_the_heads_result_past_the_array():
    nodes = [
        host_node("x", "h"),
        conv("h", "c", pads=[1, 1, 1, 1]),
        host_node("c", "t"),
        make_node("Concat", ["t", "x", "h"], ["y"], axis=1),
    ]
    made = model(nodes, X, ["y", "h"], CONSTANTS)
    check(made, from_onnx(made))


def test_heads_of_several_sizes_are_concatenated_by_the_host():
    nodes = [
        conv("x", "one"),
        conv("x", "two", strides=[2, 2]),
        *(make_node("Transpose", [name], [f"{name}_t"], perm=[0, 2, 3, 1]) for name in ("one", "two")),
        *(make_node("Reshape", [f"{name}_t", "rows"], [f"{name}_r"]) for name in ("one", "two")),
        make_node("Concat", ["one_r", "two_r"], ["joined"], axis=1, name="joined"),
        make_node("Softmax", ["joined"], ["y"], axis=2, name="y"),
    ]
    made = model(nodes, {"x": (1, 2, 6, 5)}, ["y"], {**CONSTANTS, "rows": np.asarray([0, -1, 4])}, opset=13)
    graph = from_onnx(made)
    assert {"joined", "y"} <= set(names(graph, "tail"))
    assert len(graph.outputs) == 2
    check(made, graph)


def test_several_parts_are_refused_with_the_share_that_would_be_lost():
    nodes = [conv("x", "a"), host_node("a", "h"), conv("h", "b", "v"), host_node("b", "y")]
    constants = {**CONSTANTS, "v": rng(2).standard_normal((4, 4, 3, 3))}
    made = model(nodes, {"x": (1, 2, 9, 9)}, ["y"], constants)
    with pytest.raises(
        Unsupported,
        match=r"several parts, .*: the largest has 50\.5% of the multiply-accumulates, and 49\.5% that the array could "
        r"do would be lost to the host \('a' \(Conv\)\) because of 'h' \(CumSum\) \(the first: this operator",
    ):
        from_onnx(made)
    chosen = from_onnx(made, outputs=["a"])
    assert 0.504 < chosen.host_share < 0.506
    check(made, chosen)


def test_a_small_part_behind_the_host_is_left_to_it_without_asking():
    nodes = [
        conv("x", "a"),
        make_node("Flatten", ["a"], ["f"]),
        host_node("f", "h"),
        make_node("Gemm", ["h", "g"], ["y"], name="y"),
    ]
    made = model(nodes, {"x": (1, 2, 9, 9)}, ["y"], {**CONSTANTS, "g": rng(3).standard_normal((196, 2))})
    graph = from_onnx(made)
    assert graph.host_share == pytest.approx(196 * 2 / (196 * 2 + 49 * 72))
    assert names(graph, "tail")[-2:] == ["h", "y"]
    check(made, graph)


def test_the_cut_is_where_its_names_are():
    nodes = [make_node("Relu", ["x"], ["r"]), conv("r", "c"), make_node("Relu", ["c"], ["y"])]
    made = model(nodes, X, ["y"], CONSTANTS)
    graph = from_onnx(made, inputs=["r"], outputs=["c"])
    assert [item.name for item in graph.inputs] == ["r"]
    assert [item.name for item in graph.outputs] == ["c"]
    assert {node.reason for node in graph.host.nodes} == {"it is beyond the tensors that the cut names"}
    check(made, graph)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"outputs": ["nothing"]}, r"network 'net' has no tensor 'nothing' to cut at"),
        ({"outputs": ["y"]}, r"'net' cannot be cut at 'y': .* from x to c because of 'y' \(CumSum\)"),
        ({"inputs": ["y"]}, r"nothing of network 'net' is left for the array"),
        ({"host": False}, r"node 'y' \(CumSum\): this operator is not supported"),
        ({"host": False, "outputs": ["c"]}, r"are given, and no host that does the rest"),
    ],
)
def test_a_cut_that_cannot_be_is_refused(keywords, message):
    made = model([conv("x", "c"), host_node("c", "y")], X, ["y"], CONSTANTS)
    with pytest.raises(HwquantError, match=message):
        from_onnx(made, **keywords)


def test_an_input_that_the_cut_leaves_out_is_named():
    nodes = [make_node("Add", ["x", "z"], ["s"]), conv("s", "y")]
    made = model(nodes, {**X, "z": X["x"]}, ["y"], CONSTANTS)
    with pytest.raises(Unsupported, match=r"also reads 'z'; name it"):
        from_onnx(made, inputs=["x"])


def test_nothing_but_the_host_is_refused_as_it_is_without_one():
    made = model([host_node("x", "h"), make_node("Relu", ["h"], ["y"])], X, ["y"], CONSTANTS)
    with pytest.raises(Unsupported, match=r"node 'h' \(CumSum\): this operator is not supported"):
        from_onnx(made)


def test_a_fixed_batch_is_filled_up():
    nodes = [conv("x", "c"), make_node("Reshape", ["c", "two"], ["r"]), host_node("r", "y")]
    made = model(nodes, {"x": (2, 2, 6, 5)}, ["y"], {**CONSTANTS, "two": np.asarray([2, 6, -1])})
    graph = from_onnx(made)
    check(made, graph, batch=2)
    x = rng().standard_normal((3, 2, 6, 5)).astype(np.float32)
    four = np.concatenate([x, x[-1:]])
    np.testing.assert_allclose(
        predict(graph, x)[0], by_batches(made, {"x": four}, 2)[0][:3], rtol=1e-4, atol=1e-5
    )


def test_weights_that_are_not_finite_are_not_left_to_the_host():
    made = model(
        [conv("x", "a"), conv("a", "b", "v"), host_node("b", "y")],
        X,
        ["y"],
        {**CONSTANTS, "v": np.full((4, 4, 1, 1), np.nan)},
    )
    with pytest.raises(Unsupported, match=r"node 'b' \(Conv\): tensor 'v' contains NaN"):
        from_onnx(made)


def test_a_batch_that_the_host_would_lose_is_refused():
    nodes = [conv("x", "c"), make_node("ReduceSum", ["c"], ["y"], keepdims=0)]
    made = model(nodes, {"x": (2, 2, 6, 5)}, ["y"], CONSTANTS)
    with pytest.raises(
        Unsupported, match=r"tensor 'y', .*, has lost its batch of 2; export the model with a batch of 1"
    ):
        from_onnx(made)


def test_an_input_without_a_batch_is_whole_for_every_sample():
    nodes = [
        conv("x", "c"),
        make_node("Flatten", ["c"], ["f"]),
        make_node("Einsum", ["f", "state"], ["e"], equation="nf,snk->sk"),
        make_node("Mul", ["e", "gain"], ["y"]),
    ]
    inputs = {"x": ("N", 2, 6, 5), "state": (3, "N", 4), "gain": ()}
    made = model(nodes, inputs, ["y"], CONSTANTS)
    graph = from_onnx(made)
    assert [(port.name, port.shape, port.batched) for port in graph.network_inputs] == [
        ("x", (2, 6, 5), True),
        ("state", (3, 1, 4), False),
        ("gain", (), False),
    ]
    data = {p.name: rng().standard_normal((5, *p.shape)).astype(np.float32) for p in graph.network_inputs}
    runtime = session(made)
    want = []
    for index in range(5):
        own = {name: np.asarray(data[name][index]) for name in ("state", "gain")}
        want.append(runtime.run(None, {"x": data["x"][index : index + 1], **own})[0])
    np.testing.assert_allclose(predict(graph, data)[0], np.stack(want), rtol=1e-4, atol=1e-4)


def test_integers_go_to_the_head_as_they_are():
    nodes = [
        make_node("Gather", ["table", "words"], ["e"]),
        make_node("Transpose", ["e"], ["t"], perm=[0, 2, 1]),
        make_node("Conv", ["t", "w1"], ["c"]),
        host_node("c", "y"),
    ]
    constants = {
        "last": CONSTANTS["last"],
        "table": rng(4).standard_normal((9, 3)),
        "w1": rng(5).standard_normal((4, 3, 2)),
    }
    made = model(nodes, {"words": ("N", 7)}, ["y"], constants, kinds={"words": TensorProto.INT64})
    graph = from_onnx(made)
    words = rng().integers(0, 9, (4, 7))
    np.testing.assert_allclose(
        predict(graph, words)[0], by_batches(made, {"words": words})[0], rtol=1e-4, atol=1e-5
    )
    with pytest.raises(HwquantError, match=r"input 'words' wants int64, the data has other numbers"):
        predict(graph, words + 0.5)


def test_sizes_that_depend_on_the_data_are_given_a_sample_at_a_time():
    nodes = [conv("x", "c"), make_node("NonZero", ["p"], ["y"]), make_node("Greater", ["c", "zero"], ["b"])]
    nodes = [nodes[0], nodes[2], make_node("Cast", ["b"], ["p"], to=TensorProto.FLOAT), nodes[1]]
    made = model(nodes, X, ["y"], {**CONSTANTS, "zero": np.zeros(())})
    graph = from_onnx(made)
    x = rng().standard_normal((2, 2, 6, 5)).astype(np.float32)
    (got,) = predict(graph, x[:1])
    np.testing.assert_array_equal(got[0], session(made).run(None, {"x": x[:1]})[0])
    with pytest.raises(HwquantError, match=r"gives 'y' in another size for every sample; give it one sample"):
        predict(graph, x)


def test_a_branch_that_the_data_choose_stays_with_the_host():
    branches = {
        name: make_graph([make_node(kind, ["c"], [name])], name, [], [make_tensor_value_info(name, 1, None)])
        for name, kind in (("a", "Exp"), ("b", "Neg"))
    }
    nodes = [
        conv("x", "c"),
        make_node("ReduceSum", ["c"], ["s"], keepdims=0),
        make_node("Greater", ["s", "zero"], ["positive"]),
        make_node("If", ["positive"], ["y"], then_branch=branches["a"], else_branch=branches["b"]),
    ]
    made = model(nodes, {"x": (1, 2, 6, 5)}, ["y"], {**CONSTANTS, "zero": np.zeros(())})
    graph = from_onnx(made)
    assert graph.host.nodes[-1].operator == "If"
    check(made, graph)


def test_loops_and_random_numbers_do_not_stay_with_the_host():
    for operator, reason in (("RandomUniformLike", "random numbers"), ("Bernoulli", "random numbers")):
        made = model([conv("x", "c"), make_node(operator, ["c"], ["y"])], X, ["y"], CONSTANTS)
        with pytest.raises(Unsupported, match=rf"\({operator}\) cannot stay with the host: {reason}"):
            from_onnx(made)


STATISTICS = dict(zip("gbmv", np.full((4, 4), 0.5, np.float32)))
TRAINING = {
    "outputs": ("BatchNormalization", ["s", *STATISTICS], ["y", "m2", "v2", "m3", "v3"], {}, 13),
    "attribute": ("BatchNormalization", ["s", *STATISTICS], ["y", "m2", "v2"], {"training_mode": 1}, 17),
    "input": ("Dropout", ["s", "", "yes"], ["y"], {}, 17),
}


@pytest.mark.parametrize("source", ["array", "host"])
@pytest.mark.parametrize("how", TRAINING)
def test_training_does_not_stay_with_the_host(how, source):
    operator, inputs, outputs, attributes, opset = TRAINING[how]
    before = make_node("Relu", ["c"], ["s"]) if source == "array" else host_node("c", "s")
    node = make_node(operator, inputs, outputs, **attributes)
    constants = {**CONSTANTS, **STATISTICS, "yes": np.array(True)}
    made = model([conv("x", "c"), before, node], X, ["y"], constants, opset=opset)
    with pytest.raises(Unsupported, match=rf"\({operator}\).* (training|evaluation) mode"):
        from_onnx(made)


def test_dropout_that_does_not_train_stays_with_the_host():
    nodes = [conv("x", "c"), host_node("c", "s"), make_node("Dropout", ["s", "", "no"], ["y"])]
    made = model(nodes, X, ["y"], {**CONSTANTS, "no": np.array(False)})
    check(made, from_onnx(made))


def random_model(generator):
    """Convolutions, sums, joins and what no array does, in any order."""
    nodes, channels, tensors = [], {"x": 2}, ["x"]
    constants = {"last": CONSTANTS["last"]}
    for index in range(int(generator.integers(3, 9))):
        name, source = (
            f"t{index}",
            tensors[-1] if generator.random() < 0.6 else str(generator.choice(tensors)),
        )
        match int(generator.integers(6)):
            case 0 | 1:
                out = int(generator.integers(1, 5))
                constants[f"w{index}"] = generator.standard_normal((out, channels[source], 3, 3))
                nodes.append(conv(source, name, f"w{index}", pads=[1, 1, 1, 1]))
                channels[name] = out
            case 2:
                nodes.append(host_node(source, name))
                channels[name] = channels[source]
            case 3:
                nodes.append(make_node("Relu", [source], [name], name=name))
                channels[name] = channels[source]
            case 4:
                other = str(generator.choice(tensors))
                nodes.append(make_node("Concat", [source, other], [name], axis=1, name=name))
                channels[name] = channels[source] + channels[other]
            case _:
                alike = [item for item in tensors if channels[item] == channels[source]]
                nodes.append(make_node("Add", [source, str(generator.choice(alike))], [name], name=name))
                channels[name] = channels[source]
        tensors.append(name)
    read = {name for node in nodes for name in node.input}
    return model(nodes, X, [name for name in tensors if name not in read], constants)


@pytest.mark.parametrize("seeds", seed_ranges(40, 3000))
def test_random_networks_are_refused_or_right(seeds):
    cut = 0
    for seed in seeds:
        made = random_model(rng(seed))
        try:
            graph = from_onnx(made)
        except Unsupported:
            continue
        cut += graph.host is not None
        try:
            check(made, graph, count=2, seed=seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert cut >= len(seeds) // 10


@pytest.mark.parametrize(
    ("output", "message"), [("w", "does not depend on the network's input"), ("x", "is an input as it is")]
)
def test_an_output_that_nothing_computes_is_not_left_out(output, message):
    nodes = [make_node("Cast", ["x"], ["r"], to=TensorProto.FLOAT), conv("r", "y")]
    made = model(nodes, X, ["y", output], CONSTANTS, kinds={"x": TensorProto.INT8})
    made.graph.output[1].type.tensor_type.elem_type = TensorProto.INT8 if output == "x" else TensorProto.FLOAT
    with pytest.raises(Unsupported, match=f"output '{output}' {message}"):
        from_onnx(made)
