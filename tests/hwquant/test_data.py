"""Data files: what is read, and one clear message for everything that is not right."""

import zipfile

import numpy as np
import pytest

from hwquant.data import Samples, load_samples
from hwquant.errors import HwquantError
from hwquant.interface import Input

ITEM = (Input("image", (1, 4, 4), (1, 4, 4)),)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, 1, 4, 4)).astype(np.float32)


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_x_and_labels_come_back(tmp_path, x):
    samples = load_samples(write(tmp_path / "d.npz", x=x, y=np.arange(6, dtype=np.uint8)), ITEM)
    np.testing.assert_array_equal(samples.x, x)
    np.testing.assert_array_equal(samples.y, np.arange(6))
    assert samples.y.dtype == np.int64


def test_bytes_stay_bytes_and_labels_are_optional(tmp_path):
    samples = load_samples(write(tmp_path / "d.npz", x=np.full((2, 1, 4, 4), 255, np.uint8)), ITEM)
    assert samples.x.dtype == np.uint8
    samples = load_samples(write(tmp_path / "d.npz", x=np.full((2, 1, 4, 4), -128, np.int8)), ITEM)
    assert samples.x.dtype == np.int8
    assert samples.y is None


def test_what_numpy_makes_by_default_is_taken_as_it_is(tmp_path, x):
    samples = load_samples(write(tmp_path / "d.npz", x=x.astype(np.float64) / 3), ITEM)
    assert samples.x.dtype == np.float64
    np.testing.assert_array_equal(samples.x, x.astype(np.float64) / 3)


def test_count_takes_the_first_samples(tmp_path, x):
    path = write(tmp_path / "d.npz", x=x, y=np.arange(6))
    samples = load_samples(path, ITEM, 2)
    np.testing.assert_array_equal(samples.x, x[:2])
    np.testing.assert_array_equal(samples.y, [0, 1])
    for count in (0, -1, 7):
        with pytest.raises(HwquantError, match=f"has 6 samples; {count} cannot be taken"):
            load_samples(path, ITEM, count)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_columns_first_and_other_orders_of_bytes_are_read_right(tmp_path, x, save):
    save(tmp_path / "d.npz", x=np.asfortranarray(x.astype(">f4")), y=np.arange(6, dtype=">i4"))
    for count in (None, 2):
        samples = load_samples(tmp_path / "d.npz", ITEM, count)
        np.testing.assert_array_equal(samples.x, x[:count], strict=True)
        np.testing.assert_array_equal(samples.y, np.arange(6)[:count])
        samples.x[0] = 0  # it is the caller's own


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((1, 1, 4, 4), np.float32)}, "holds images, but no 'x'"),
        (
            {f"part{number}": np.zeros(1) for number in range(7)},
            "holds part0, part1, part2, part3, part4 and 2 more, but no 'x'",
        ),
        (
            {"x": np.zeros((2, 1, 4, 4), np.uint8), "y": np.zeros((2, 3))},
            r"labels must be integers, as y.argmax\(axis=1\) makes of one-hot ones",
        ),
        (
            {"x": np.zeros((2, 4, 4), np.float32)},
            r"x has shape \(2, 4, 4\), the network's input 'image' needs \(N, 1, 4, 4\)",
        ),
        ({"x": np.zeros((0, 1, 4, 4), np.float32)}, "with N >= 1"),
        ({"x": np.float32(3)}, r"x has shape \(\)"),
        (
            {"x": np.zeros((1, 1, 4, 4), np.float16)},
            "x has dtype float16; give float32, float64, int8 or uint8",
        ),
        ({"x": np.zeros((1, 1, 4, 4), np.int32)}, "x has dtype int32"),
        ({"x": np.zeros((1, 1, 4, 4), np.complex64)}, "x has dtype complex64"),
        ({"x": np.array(["a"])}, "x has dtype <U1"),
        ({"x": np.full((1, 1, 4, 4), np.nan, np.float32)}, "sample 0 of x holds NaN or infinity"),
        (
            {"x": np.zeros((2, 1, 4, 4), np.uint8), "y": np.zeros(3, np.int64)},
            r"y has shape \(3,\); 2 samples need",
        ),
        ({"x": np.zeros((2, 1, 4, 4), np.uint8), "y": np.zeros((2, 1), np.int64)}, r"labels of shape \(2,\)"),
        (
            {"x": np.zeros((2, 1, 4, 4), np.uint8), "y": np.zeros(2)},
            "y has dtype float64; labels must be integers",
        ),
        ({"x": np.zeros((2, 1, 4, 4), np.uint8), "y": np.array([0, -1])}, "y holds the label -1"),
    ],
)
def test_what_is_wrong_with_a_data_file_is_named(tmp_path, arrays, message):
    with pytest.raises(HwquantError, match=message):
        load_samples(write(tmp_path / "d.npz", **arrays), ITEM)


def test_the_sample_with_an_infinity_is_named(tmp_path, x):
    x[4, 0, 1, 2] = np.inf
    with pytest.raises(HwquantError, match="sample 4 of x"):
        load_samples(write(tmp_path / "d.npz", x=x), ITEM)


def test_an_absent_data_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(HwquantError, match=r"cannot read .*none\.npz: No such file"):
        load_samples(tmp_path / "none.npz", ITEM)
    with pytest.raises(HwquantError, match=r"cannot read .*: Is a directory"):
        load_samples(tmp_path, ITEM)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello, world\n" * 40, bytes(1000)])
def test_garbage_is_no_npz(tmp_path, content):
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(HwquantError, match=r"is no \.npz file, or it is truncated or damaged"):
        load_samples(path, ITEM)


def test_every_truncation_is_noticed(tmp_path, x):
    path = write(tmp_path / "d.npz", x=x)
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(HwquantError, match="truncated or damaged"):
            load_samples(path, ITEM)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(HwquantError, match="Object arrays cannot be loaded"):
        load_samples(path, ITEM)


def test_a_single_array_and_a_member_that_is_none_are_refused(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(HwquantError, match=r"is a single array; write it"):
        load_samples(tmp_path / "x.npy", ITEM)
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x", b"text")
    with pytest.raises(HwquantError, match="x is no array"):
        load_samples(tmp_path / "d.npz", ITEM)


def test_accuracy_counts_the_greatest_score_or_the_class_itself():
    x = np.zeros((4, 1), np.float32)
    samples = Samples(x, np.array([0, 1, 1, 2]))
    scores = np.array([[3.0, 1, 1], [0, 5, 0], [9, 0, 0], [0, 1, 2]])
    assert samples.accuracy(scores) == 0.75
    assert samples.accuracy(scores.reshape(4, 3, 1, 1)) == 0.75
    assert samples.accuracy(np.array([0, 1, 0, 0])) == 0.5
    assert samples.accuracy(np.array([[0], [1], [1], [2]])) == 1.0
    assert Samples(x, None).accuracy(scores) is None


def test_a_label_without_a_score_is_an_error():
    samples = Samples(np.zeros((2, 1), np.float32), np.array([0, 10]))
    with pytest.raises(HwquantError, match="the label 10 has no score: the network's output has 10"):
        samples.accuracy(np.zeros((2, 10)))


TWO = (Input("image", (1, 4, 4), (1, 4, 4)), Input("speed", (2,), (2, 1, 1)))


def test_several_inputs_come_by_name(tmp_path, x):
    speed = np.arange(12, dtype=np.uint8).reshape(6, 2)
    path = write(tmp_path / "d.npz", image=x, speed=speed, y=np.arange(6))
    samples = load_samples(path, TWO)
    assert len(samples) == 6
    assert list(samples.x) == ["image", "speed"]
    np.testing.assert_array_equal(samples.x["image"], x)
    np.testing.assert_array_equal(samples.x["speed"], speed)
    first = load_samples(path, TWO, 2)
    assert len(first) == 2
    np.testing.assert_array_equal(first.x["speed"], speed[:2])
    np.testing.assert_array_equal(first.y, [0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x": np.zeros((2, 1, 4, 4), np.uint8)},
            r"holds x, but no 'image'; .*savez\(path, image=..., speed=",
        ),
        ({"image": np.zeros((2, 1, 4, 4), np.uint8)}, "holds image, but no 'speed'"),
        (
            {"image": np.zeros((2, 1, 4, 4), np.uint8), "speed": np.zeros((3, 2), np.uint8)},
            "has 2 of image, 3 of speed; every sample needs an array for each input",
        ),
        (
            {"image": np.zeros((2, 1, 4, 4), np.uint8), "speed": np.zeros((2, 3), np.uint8)},
            r"speed has shape \(2, 3\), the network's input 'speed' needs \(N, 2\)",
        ),
    ],
)
def test_what_is_wrong_with_one_of_several_inputs_is_named(tmp_path, arrays, message):
    with pytest.raises(HwquantError, match=message):
        load_samples(write(tmp_path / "d.npz", **arrays), TWO)


def test_an_input_called_y_is_that_input_and_no_labels(tmp_path, x):
    inputs = (TWO[0], Input("y", (1, 4, 4), (1, 4, 4)))
    samples = load_samples(write(tmp_path / "d.npz", image=x, y=x), inputs)
    assert samples.y is None
    np.testing.assert_array_equal(samples.x["y"], x)


def test_a_pair_for_training_needs_one_input_and_labels(x):
    pair = Samples(x, np.arange(6)).pair()
    assert pair[0] is x
    np.testing.assert_array_equal(pair[1], np.arange(6))
    with pytest.raises(HwquantError, match="the data has no labels y"):
        Samples(x, None).pair()
    with pytest.raises(HwquantError, match="the data has the inputs a, b, and one is needed"):
        Samples({"a": x, "b": x}, np.arange(6)).pair()
