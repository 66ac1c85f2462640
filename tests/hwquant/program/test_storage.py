"""Programs in files: what comes back is what was saved, and nothing else is accepted."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest

from hwquant import container
from hwquant.errors import Damaged, HwquantError
from hwquant.program import storage
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.random_networks import Features, random_qgraph


def assert_equal(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        else:
            assert a == b, field.name
            assert type(a) is type(b), field.name


@pytest.fixture
def saved(digits_program, tmp_path):
    path = tmp_path / "program.hwp"
    storage.save(digits_program, path)
    return path


def test_every_field_of_a_saved_program_comes_back(digits_program, saved):
    loaded = storage.load(saved)
    assert_equal(digits_program, loaded)
    assert list(loaded.tensors) == list(digits_program.tensors)
    assert loaded.checksum == digits_program.checksum
    assert timing(loaded) == timing(digits_program)


def test_a_loaded_program_frames_the_same_words(digits_program, digits_qgraph, digits_samples, saved):
    from hwquant.golden import quantize_input

    q = quantize_input(digits_qgraph, digits_samples.x[:3])
    np.testing.assert_array_equal(storage.load(saved).frame(q), digits_program.frame(q))


def test_the_same_program_gives_the_same_bytes(digits_program, saved, tmp_path):
    storage.save(storage.load(saved), tmp_path / "again.hwp")
    assert (tmp_path / "again.hwp").read_bytes() == saved.read_bytes()


def test_words_wider_than_any_integer_type_survive():
    words = (0, (1 << 100) - 3, 17)
    assert storage._unpack(storage._pack(words)) == words


def test_every_flipped_byte_and_truncation_is_noticed(saved):
    content = saved.read_bytes()
    for position in range(0, len(content), 97):
        saved.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        with pytest.raises(HwquantError, match=r"program\.hwp"):
            storage.load(saved)
        saved.write_bytes(content[:position])
        with pytest.raises(HwquantError, match=r"program\.hwp"):
            storage.load(saved)


def test_another_kind_of_file_is_refused(digits_qgraph, tmp_path):
    from hwquant import hwq

    hwq.save(digits_qgraph, tmp_path / "net.hwq")
    with pytest.raises(HwquantError, match="'hwquant network' file; a 'hwquant program' file is needed"):
        storage.load(tmp_path / "net.hwq")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta, arrays: meta.pop("layers"), "'layers' is missing"),
        (lambda meta, arrays: arrays.pop("words"), "'words' is missing"),
        (lambda meta, arrays: meta["config"].update(rows=99), "rows must be 2..32, not 99"),
        (lambda meta, arrays: meta["config"].update(colour=1), "colour"),
        (lambda meta, arrays: meta["config"].update(raw_inputs=[3]), "not subscriptable|not a mapping"),
        (
            lambda meta, arrays: meta["config"]["raw_inputs"][0]["packing"].update(stride=0),
            "must have positive sizes",
        ),
        (
            lambda meta, arrays: meta["config"]["raw_inputs"][0].update(zero_point=0.5),
            "must have integers",
        ),
        (
            lambda meta, arrays: meta["config"]["raw_inputs"][0]["packing"].update(left=2),
            "its packer is not for its inputs",
        ),
        (lambda meta, arrays: meta.update(checksum=meta["checksum"] ^ 1), "do not have the checksum"),
        (
            lambda meta, arrays: arrays.update(words=arrays["words"] ^ 1),
            "unknown opcode|do not have the checksum",
        ),
        (lambda meta, arrays: arrays.update(words=arrays["words"][:0]), "do not have the checksum"),
        (
            lambda meta, arrays: arrays.update(words=arrays["words"].astype(np.int64)),
            "instructions are int64",
        ),
        (lambda meta, arrays: arrays.update(bias=arrays["bias"].astype(np.float64)), "its bias are float64"),
        (lambda meta, arrays: meta["tensors"][0].update(lanes={}), r"the lanes of its Placement is \{\}"),
        (lambda meta, arrays: meta["outputs"][0].update(lanes=0), "0 channels in a word"),
        (lambda meta, arrays: meta["tensors"][0].update(shape=[1, 2]), r"the shape \(1, 2\)"),
        (lambda meta, arrays: meta["layers"][0].update(macs=None), "the macs of its LayerInfo is None"),
        (lambda meta, arrays: meta["layers"][0].update(macs=1 << 40, jobs=-1), "impossible counts"),
        (lambda meta, arrays: meta["layers"][0].update(macs=0), "impossible counts"),
        (lambda meta, arrays: meta["layers"][0].update(covers=[3]), r"covers \(3,\), which are no names"),
        (lambda meta, arrays: meta.update(name=None), "its name is None"),
        (lambda meta, arrays: meta["layers"].pop(), r"it names \d+ layers, and its instructions have \d+"),
        (lambda meta, arrays: meta["layers"].append(meta["layers"][0]), r"it names \d+ layers"),
        (lambda meta, arrays: meta["outputs"].pop(), "it names 0 words of outputs"),
        (
            lambda meta, arrays: meta["inputs"][0].update(
                packing={**meta["config"]["raw_inputs"][0]["packing"], "stride": "1"}
            ),
            "the stride of its WindowPacking is '1'",
        ),
    ],
)
def test_a_file_made_by_hand_must_hold_a_program(saved, change, message):
    meta, arrays = container.read(saved, storage.KIND, storage.VERSION)
    change(meta["program"], arrays)
    container.write(saved, storage.KIND, storage.VERSION, meta, arrays)
    with pytest.raises(HwquantError, match=rf"holds no valid program: .*({message})"):
        storage.load(saved)


@pytest.mark.parametrize("change", [list.pop, lambda inputs: inputs.append(inputs[0])])
def test_the_instructions_must_receive_what_the_inputs_are(tmp_path, change):
    path = tmp_path / "words.hwp"
    storage.save(
        compile_network(random_qgraph(np.random.default_rng(2), Features(layers=(1, 2))), (4, 4)), path
    )
    meta, arrays = container.read(path, storage.KIND, storage.VERSION)
    assert not meta["program"]["config"].get("raw_inputs")
    change(meta["program"]["inputs"])
    container.write(path, storage.KIND, storage.VERSION, meta, arrays)
    with pytest.raises(Damaged, match=r"it names \d+ words of inputs, and its instructions have \d+"):
        storage.load(path)


def test_external_memory_is_in_the_file_and_only_that_raises_the_version(tmp_path):
    qgraph = random_qgraph(np.random.default_rng(2), Features(layers=(1, 2)))
    limits = {"weight_depth": 24, "parameter_depth": 16, "activation_depth": 110}
    memory = ExternalMemory(32, 1 << 20, MemoryTiming(latency=40, refresh_interval=300, refresh_cycles=9))
    program = compile_network(qgraph, (4, 4), external=memory, limits=limits)
    assert program.parts
    storage.save(program, tmp_path / "outside.hwp")
    storage.save(compile_network(qgraph, (4, 4)), tmp_path / "inside.hwp")
    again = storage.load(tmp_path / "outside.hwp")
    assert again.parts == program.parts
    assert again.memory == memory
    assert timing(again) == timing(program) == timing(program, memory.timing)
    assert timing(again).cycles > timing(program, MemoryTiming()).cycles
    assert (again.words, again.config, again.checksum) == (program.words, program.config, program.checksum)
    assert np.array_equal(again.external_image, program.external_image)
    versions = {}
    for name in ("inside", "outside"):
        with zipfile.ZipFile(tmp_path / f"{name}.hwp") as file:
            versions[name] = json.loads(file.read("manifest.json"))["version"]
    assert versions == {"inside": storage.INSIDE, "outside": storage.PROGRAM_INSIDE}


def test_a_program_that_lies_outside_raises_the_version_again(tmp_path):
    qgraph = random_qgraph(np.random.default_rng(2), Features(layers=(1, 2)))
    program = compile_network(qgraph, (4, 4), external=ExternalMemory(32), limits={"program_depth": 32})
    assert program.config.program_half == 16
    storage.save(program, tmp_path / "outside.hwp")
    again = storage.load(tmp_path / "outside.hwp")
    assert (again.words, again.config, again.checksum) == (program.words, program.config, program.checksum)
    assert np.array_equal(again.external_image, program.external_image)
    with zipfile.ZipFile(tmp_path / "outside.hwp") as file:
        assert json.loads(file.read("manifest.json"))["version"] == storage.VERSION == 8


def test_external_memory_with_other_weights_is_refused(tmp_path):
    qgraph = random_qgraph(np.random.default_rng(2), Features(layers=(1, 2)))
    program = compile_network(qgraph, (4, 4), external=ExternalMemory(32))
    path = tmp_path / "outside.hwp"
    storage.save(program, path)
    meta, arrays = container.read(path, storage.KIND, storage.VERSION)
    arrays["external"] = arrays["external"] ^ 1
    container.write(path, storage.KIND, storage.VERSION, meta, arrays)
    with pytest.raises(
        Damaged, match="its external memory does not have its weights, parameters and program"
    ):
        storage.load(path)
