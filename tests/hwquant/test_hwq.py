import copy
import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from hwquant import container, golden, hwq
from hwquant.errors import HwquantError
from hwquant.interface import Input
from hwquant.qgraph import Layer, QGraph
from hwquant.random_networks import Features, random_images, random_qgraph


def same(a, b, place="qgraph"):
    """Deep equality of dataclasses, arrays with their dtypes, mappings and tuples."""
    assert type(a) is type(b), place
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            same(getattr(a, field.name), getattr(b, field.name), f"{place}.{field.name}")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), place
        assert (a == b).all(), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            same(a[key], b[key], f"{place}[{key!r}]")
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b), place
        for index, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{place}[{index}]")
    else:
        assert a == b, place


def network(seed=0, **features):
    """A random network with something in every field."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(multiplier=seed % 2 == 0, **features))
    tensor = qgraph.tensors["input"]
    elements = int(np.prod(tensor.shape))
    item = Input(
        "input",
        (elements,),
        tensor.shape,
        rng.uniform(0.1, 1, elements),
        rng.uniform(-1, 1, 1),
        rng.permutation(elements),
    )
    (output,) = qgraph.outputs
    order = rng.permutation(int(np.prod(output.shape)))
    options = {"bits": 8, "anchor": "min", "per_channel": False, "percentile": 99.9, "notes": [None, "ü"]}
    return QGraph(
        "net",
        (item,),
        qgraph.nodes,
        (replace(output, order=order, host=("softmax", "argmax")), replace(output, name="raw")),
        qgraph.tensors,
        options,
    )


@pytest.mark.parametrize("seed", range(30))
def test_a_loaded_network_is_the_saved_one(tmp_path, seed):
    qgraph = network(seed, steps=(1,) if seed % 2 else (1, 2), tables=0.5 * (seed % 3 == 0))
    hwq.save(qgraph, tmp_path / "a.hwq")
    loaded = hwq.load(tmp_path / "a.hwq")
    same(loaded, qgraph)
    assert list(loaded.tensors) == list(qgraph.tensors)
    hwq.save(loaded, tmp_path / "b.hwq")
    assert (tmp_path / "a.hwq").read_bytes() == (tmp_path / "b.hwq").read_bytes()
    q = random_images(np.random.default_rng(seed), qgraph, 2)
    keep = list(qgraph.tensors)
    expected = golden.run(qgraph, q, keep)
    for name, value in golden.run(loaded, q, keep).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize(("step", "version"), [(1, 1), (2, 2)])
def test_a_network_is_written_for_the_oldest_readers_that_understand_it(tmp_path, step, version):
    hwq.save(network(steps=(step,), weight_bits=(8, 8), residual=False), tmp_path / "a.hwq")
    if version > 1:
        with pytest.raises(HwquantError, match=f"has format version {version}, this hwquant reads up to"):
            container.read(tmp_path / "a.hwq", "network", version - 1)
    meta, _ = container.read(tmp_path / "a.hwq", "network", version)
    terms = [term for layer in meta["network"]["layers"] for term in layer.get("terms", [])]
    assert [term.get("step") for term in terms] == [None if step == 1 else step] * len(terms)


def test_tables_are_for_readers_of_version_3_and_checked(tmp_path):
    qgraph = network(1, residual=False, concat=False, layers=(1, 1), weight_bits=(8, 8), tables=1.0)
    hwq.save(qgraph, tmp_path / "a.hwq")
    with pytest.raises(HwquantError, match="has format version 3, this hwquant reads up to 2; update"):
        container.read(tmp_path / "a.hwq", hwq.KIND, 2)
    meta, arrays = container.read(tmp_path / "a.hwq", hwq.KIND, 3)
    good = arrays["layers/0/table"]
    for values, message in (
        (good[:-1], "table, has values of shape"),
        (good + 1000, "table, has values beyond the"),
        (good.astype(np.float64), "table, has values of dtype float64"),
        (good.reshape(2, -1), "has a table of shape"),
        (good[:0], "has a table of shape"),
        (None, "has half of a table"),
    ):
        changed = {name: array for name, array in arrays.items() if name != "layers/0/table"}
        changed |= {} if values is None else {"layers/0/table": values}
        container.write(tmp_path / "b.hwq", hwq.KIND, 3, meta, changed)
        with pytest.raises(HwquantError, match=message):
            hwq.load(tmp_path / "b.hwq")
    for key, value, message in (
        ("scale", 0.0, "table, has the scale"),
        ("zero_point", 5000, "table, has the zero point 5000 outside"),
        ("scale", 3.0, "rescales by another factor"),
    ):
        edited = copy.deepcopy(meta)
        edited["network"]["layers"][0]["table"][key] = value
        container.write(tmp_path / "b.hwq", hwq.KIND, 3, edited, arrays)
        with pytest.raises(HwquantError, match=message):
            hwq.load(tmp_path / "b.hwq")


def test_numbers_of_numpy_are_saved_as_numbers(tmp_path):
    qgraph = network()
    tensors = {
        name: replace(
            tensor,
            scale=np.float64(tensor.scale),
            zero_point=np.int64(tensor.zero_point),
            bits=np.int8(tensor.bits),
        )
        for name, tensor in qgraph.tensors.items()
    }
    hwq.save(replace(qgraph, tensors=tensors), tmp_path / "a.hwq")
    same(hwq.load(tmp_path / "a.hwq"), qgraph)


def test_an_invalid_network_is_not_saved(tmp_path):
    qgraph = network()
    tensors = {**qgraph.tensors, "input": replace(qgraph.tensors["input"], scale=0.0)}
    with pytest.raises(HwquantError, match="tensor 'input' has the scale"):
        hwq.save(replace(qgraph, tensors=tensors), tmp_path / "a.hwq")
    assert list(tmp_path.iterdir()) == []


def test_a_program_is_no_network(tmp_path):
    container.write(tmp_path / "p", "program", 1, {}, {})
    with pytest.raises(HwquantError, match="a 'hwquant network' file is needed here"):
        hwq.load(tmp_path / "p")


@pytest.fixture
def edit(tmp_path):
    """Change a saved network by hand, checksums made right again, and load it."""

    def load(change):
        qgraph = network(1, residual=False, concat=False, layers=(2, 2), weight_bits=(8, 8))
        hwq.save(qgraph, tmp_path / "net.hwq")
        meta, arrays = container.read(tmp_path / "net.hwq", hwq.KIND, hwq.VERSION)
        change(meta["network"], arrays)
        container.write(tmp_path / "net.hwq", hwq.KIND, hwq.VERSION, meta, arrays)
        return hwq.load(tmp_path / "net.hwq")

    return load


def set_layer(key, value):
    return lambda network, arrays: network["layers"][0].update({key: value})


def set_term(key, value):
    return lambda network, arrays: network["layers"][0]["terms"][0].update({key: value})


def set_array(name, value):
    return lambda network, arrays: arrays.update({f"layers/0/{name}": np.array(value)})


def drop_array(name):
    return lambda network, arrays: arrays.pop(f"layers/0/{name}")


CODES = "terms/0/codes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_layer("low", 5000), "layer 'conv0' clamps to 5000"),
        (set_layer("low", "0"), "layer 'conv0' has no integer 'low'"),
        (set_layer("high", True), "layer 'conv0' has no integer 'high'"),
        (set_layer("type", "sigmoid"), "layer 'conv0' is of the unknown type 'sigmoid'"),
        (set_layer("terms", []), "layer 'conv0' has no terms"),
        (set_layer("terms", [5]), "term 0 is no JSON object"),
        (set_layer("name", "conv9"), "layer 'conv9' has no tensor description"),
        (set_term("input", "nothing"), "layer 'conv0' reads 'nothing', which nothing before it produces"),
        (set_term("anchor", "middle"), "layer 'conv0' has the anchor 'middle'"),
        (set_term("bits", 9), "layer 'conv0' has weights of 9 bits"),
        (set_term("step", 0), "layer 'conv0' has weights 0 apart; steps of 1 and 2 are possible"),
        (set_term("step", 3), "layer 'conv0' has weights 3 apart"),
        (set_term("step", True), "layer 'conv0', term 0 has no integer 'step'"),
        (set_term("step", 2.0), "layer 'conv0', term 0 has no integer 'step'"),
        (
            lambda n, a: (set_term("step", 2)(n, a), set_array("terms/0/offset", [-4])(n, a)),
            "has an even offset",
        ),
        (set_term("bits", 1), r"layer 'conv0' has codes .* its 1 bits hold -1\.\.0"),
        (set_term("stride", [0, 1]), r"layer 'conv0', term 0 has stride \[0, 1\]; each must be"),
        (set_term("stride", [1]), r"term 0 has stride \[1\]; it must have 2 values"),
        (set_term("padding", [1, 1, 1, -1]), "each must be an integer and at least 0"),
        (set_term("padding", [9, 9, 9, 9]), "layer 'conv0' produces"),
        (set_term("shift", -1), "layer 'conv0' has a left shift of -1"),
        (set_term("shift", 99), "layer 'conv0' has a left shift of 99"),
        (set_term("groups", 0), "layer 'conv0' has groups of 0; it must be at least 1"),
        (set_term("groups", 13), "layer 'conv0' reads .* channels in 13 groups"),
        (set_array("shift", [63]), r"layer 'conv0' has a shift of 63\.\.63"),
        (set_array("shift", [-1]), r"layer 'conv0' has a shift of -1\.\.-1"),
        (set_array("shift", [[1]]), r"layer 'conv0' has a shift of shape \(1, 1\), not \(1,\)"),
        (set_array("bias", [0.5]), "layer 'conv0' has a bias of dtype float64, not int64"),
        (set_array("multiplier", [0]), "layer 'conv0' has a multiplier that is not positive"),
        (set_array("terms/0/offset", [1 << 40]), "layer 'conv0' has an offset beyond 32 bits"),
        (set_array("terms/0/scale", [np.nan]), "layer 'conv0' has a scale that is not positive"),
        (set_array("terms/0/scale", [1]), "layer 'conv0' has a scale of dtype int64, not float64"),
        (set_array(CODES, [1, 2]), r"layer 'conv0', term 0 has codes of shape \(2,\), not 4-D"),
        (set_array(CODES, [[[[0.5]]]]), "layer 'conv0'"),
        (drop_array(CODES), "layer 'conv0', term 0 has no array 'layers/0/terms/0/codes'"),
        (drop_array("bias"), "layer 'conv0' has no array 'layers/0/bias'"),
    ],
)
def test_a_bad_file_made_by_hand_is_refused_naming_the_layer(edit, change, message):
    with pytest.raises(
        HwquantError, match=rf"net\.hwq holds no valid network: .*{message}.*quantize it again"
    ):
        edit(change)


def test_a_bad_mask_is_refused(edit):
    def change(network, arrays):
        arrays["layers/0/terms/0/mask"] = np.zeros(arrays["layers/0/" + CODES].shape, bool)

    with pytest.raises(HwquantError, match="layer 'conv0' has pruned weights that are not zero"):
        edit(change)


@pytest.mark.parametrize("key", ["name", "inputs", "layers", "outputs", "tensors", "options"])
def test_every_part_is_needed(edit, key):
    with pytest.raises(HwquantError, match=rf"network\.json has no .* '{key}'"):
        edit(lambda network, arrays: network.pop(key))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, a: n["tensors"][0].update(bits=25), "tensor 'input' has 25 bits; 2 to 24 are possible"),
        (lambda n, a: n["tensors"][0].update(zero_point=999), "tensor 'input' has the zero point 999"),
        (lambda n, a: n["tensors"][0].update(scale="1"), "tensor 'input' has no number 'scale'"),
        (lambda n, a: n["tensors"][0].update(name="x"), "input 'input' has no tensor description"),
        (lambda n, a: n["inputs"][0].update(shape=[1]), "input 'input' of shape"),
        (lambda n, a: n["outputs"][0].update(host=["tanh"]), "output 'output' has the host function 'tanh'"),
        (lambda n, a: n["outputs"][0].update(host=[1]), "has a value in 'host' that is not text"),
        (
            lambda n, a: n["outputs"][0].update(tensor="x"),
            "output 'output' reads 'x', which nothing produces",
        ),
        (
            lambda n, a: a["outputs/0/order"].__setitem__(0, -1),
            "output 'output' has an order that points outside",
        ),
        (
            lambda n, a: a["inputs/0/scale"].__setitem__(0, np.inf),
            "input 'input' has a scale that is not finite",
        ),
        (lambda n, a: a.update({"inputs/0/order": np.arange(3)}), "input 'input' has an order of shape"),
    ],
)
def test_bad_tensors_inputs_and_outputs_are_refused(edit, change, message):
    with pytest.raises(HwquantError, match=message):
        edit(change)


def test_the_network_that_tests_edit_is_valid_when_unchanged(edit):
    qgraph = edit(lambda network, arrays: None)
    assert isinstance(qgraph.nodes[0], Layer)
    assert qgraph.nodes[0].name == "conv0"


# --- codes of a few bits


def narrow(bits, mask=False):
    """A network whose first layer has codes of ``bits`` bits."""
    qgraph = network(1, residual=False, concat=False, layers=(2, 2))
    first, *others = qgraph.nodes
    (term,) = first.terms
    low = -(1 << (bits - 1))
    codes = np.random.default_rng(bits).integers(low, -low, term.codes.shape, np.int8)
    term = replace(term, codes=codes, bits=bits, mask=term.coding.adjusted(codes) != 0 if mask else None)
    return replace(qgraph, nodes=(replace(first, terms=(term,)), *others))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("mask", [False, True])
def test_codes_and_masks_of_fewer_than_8_bits_take_as_many_bits(tmp_path, bits, mask):
    qgraph = narrow(bits, mask)
    hwq.save(qgraph, tmp_path / "a.hwq")
    same(hwq.load(tmp_path / "a.hwq"), qgraph)
    _, arrays = container.read(tmp_path / "a.hwq", hwq.KIND, hwq.VERSION)
    count = qgraph.nodes[0].terms[0].codes.size
    stored = {name: arrays[f"layers/0/terms/0/{name}"] for name in ("codes", *(["mask"] if mask else []))}
    assert {name: array.nbytes for name, array in stored.items()} == {
        name: count if bits == 8 else -(-count * (bits if name == "codes" else 1) // 8) for name in stored
    }


@pytest.mark.parametrize(("bits", "version"), [(8, 1), (7, 2), (1, 2)])
def test_a_network_is_written_as_the_oldest_version_that_has_its_bits(tmp_path, bits, version):
    qgraph = network(1, residual=False, concat=False, layers=(2, 2), weight_bits=(bits, bits))
    hwq.save(qgraph, tmp_path / "a.hwq")
    container.read(tmp_path / "a.hwq", hwq.KIND, version)
    if version > 1:
        with pytest.raises(HwquantError, match="has format version 2, this hwquant reads up to 1; update"):
            container.read(tmp_path / "a.hwq", hwq.KIND, 1)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("codes", lambda made: made[:-1], "has codes packed in uint8 of shape"),
        ("codes", lambda made: made.astype(np.int8), "has codes packed in int8"),
        (
            "codes",
            lambda made: made | np.uint8(0x80) * (np.arange(made.size) == made.size - 1),
            "behind the last one that are not zero",
        ),
        ("mask", lambda made: np.append(made, np.uint8(0)), "has mask packed in uint8 of shape"),
        ("shape", lambda shape: [shape[0] + 8, *shape[1:]], "has codes packed in uint8 of shape"),
        ("shape", lambda shape: shape[1:], "it must have 4 values"),
        ("shape", lambda shape: [-1, *shape[1:]], "each must be an integer and at least 1"),
        ("shape", lambda shape: [1 << 40, *shape[1:]], "has codes packed in uint8 of shape"),
        ("bits", lambda bits: 0, "has codes of 0 bits; 1 to 8 are possible"),
        ("bits", lambda bits: 9, "has codes of 9 bits; 1 to 8 are possible"),
    ],
)
def test_packed_codes_are_read_strictly(tmp_path, name, change, message):
    qgraph = narrow(3, mask=True)
    assert qgraph.nodes[0].terms[0].codes.size * 3 % 8
    hwq.save(qgraph, tmp_path / "a.hwq")
    meta, arrays = container.read(tmp_path / "a.hwq", hwq.KIND, hwq.VERSION)
    term, place = meta["network"]["layers"][0]["terms"][0], f"layers/0/terms/0/{name}"
    if name in ("codes", "mask"):
        arrays[place] = change(arrays[place])
    else:
        term[name] = change(term[name])
    container.write(tmp_path / "a.hwq", hwq.KIND, hwq.VERSION, meta, arrays)
    with pytest.raises(HwquantError, match=f"layer 'conv0', term 0 .*{message}.*; quantize it again"):
        hwq.load(tmp_path / "a.hwq")
