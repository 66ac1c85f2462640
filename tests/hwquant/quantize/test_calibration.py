import numpy as np
import pytest

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.interface import Input, Output
from hwquant.quantize import calibration
from hwquant.quantize.calibration import check_data, observe
from hwquant.window import Window


def test_statistics_are_those_of_all_data_at_once(build, samples, monkeypatch):
    graph = build("residual", 3)
    names = list(graph.shapes)
    monkeypatch.setattr(calibration, "_BATCH_ELEMENTS", 5 * sum(np.prod(s) for s in graph.shapes.values()))
    steps = []
    result = observe(graph, {"x": samples}, names, lambda *step: steps.append(step))
    for name, x in floating.run(graph, samples, keep=names).items():
        seen = result[name]
        assert (seen.low, seen.high) == (x.min(), x.max())
        assert np.allclose(seen.variance, x.var(axis=(0, 2, 3)), rtol=1e-9)
        assert seen.zeros == np.mean(x == 0)
        assert seen.shares.sum() + seen.zeros == pytest.approx(1)
    assert steps[-1] == ("calibrate", 128, 128)
    assert len(steps) == 2 * 13


def test_few_values_are_kept_one_by_one(build):
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8)).astype(np.uint8)
    seen = observe(build("chain", 0), {"x": x}, ["x", "c1"])
    assert seen["x"].exact
    assert not seen["c1"].exact
    values, counts = np.unique(x[x > 0], return_counts=True)
    assert np.array_equal(seen["x"].values, values)
    assert np.allclose(seen["x"].shares, counts / x.size)


@pytest.mark.parametrize("many", [False, True])
def test_quantiles_are_those_of_the_data(build, many):
    x = np.random.default_rng(0).normal(0, 1, (30, 3, 8, 8))
    x = np.where(x > 0.5, 0, x if many else np.round(x, 1))
    seen = observe(build("chain", 0), {"x": x}, ["x"])["x"]
    width = (x.max() - x.min()) / 1000
    for share in (0.0, 0.001, 0.3, 0.9, 0.999, 1.0):
        assert seen.quantile(share) == pytest.approx(np.quantile(x, share, method="inverted_cdf"), abs=width)


def test_a_constant_channel_has_no_variance(build):
    x = np.full((10, 3, 8, 8), 0.1)
    assert not observe(build("chain", 0), {"x": x}, ["x"])["x"].variance.any()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((2, 3, 8, 8), np.nan), "'x' hold a NaN or an infinity"),
        (np.full((2, 3, 8, 8), np.inf), "'x' hold a NaN or an infinity"),
        (np.full((2, 3, 8, 8), -1e238), r"'x' have magnitudes up to 1e\+238"),
        (np.full((2, 3, 8, 8), 1e-320), "'x' have magnitudes up to 1e-320"),
        (np.zeros((2, 3, 8, 9)), r"'x' must have the shape \(N, 3, 8, 8\)"),
        (np.zeros((0, 3, 8, 8)), "at least one sample"),
        (np.zeros((2, 3, 8, 8), complex), "must be real numbers, not complex128"),
        (np.zeros(()), "must have the shape"),
        ({"y": np.zeros((2, 3, 8, 8))}, "no calibration data for input 'x'"),
    ],
)
def test_unusable_data_are_refused(build, x, message):
    with pytest.raises(HwquantError, match=message):
        check_data(build("chain", 0), x)


def test_several_inputs_want_a_mapping_of_one_length():
    inputs = tuple(Input(name, (1, 1, 1), (1, 1, 1)) for name in ("a", "b"))
    graph = Graph("two", inputs, (), (Output("y", "a", (1,)),))
    one, two = np.ones((1, 1, 1, 1)), np.ones((2, 1, 1, 1))
    with pytest.raises(HwquantError, match="several inputs; give calibration data for 'a', 'b'"):
        check_data(graph, one)
    with pytest.raises(HwquantError, match="differ in the number of samples"):
        check_data(graph, {"a": one, "b": two})


def test_a_network_that_overflows_is_refused():
    weight = np.full((1, 1, 1, 1), 1e308)
    item = Input("x", (1, 1, 1), (1, 1, 1))
    graph = Graph(
        "big",
        (item,),
        (Conv("c", ("x",), weight, np.zeros(1), Window(weight.shape[2:])),),
        (Output("y", "c", (1,)),),
    )
    with np.errstate(over="ignore"), pytest.raises(HwquantError, match="'c' becomes infinite or NaN"):
        observe(graph, {"x": np.full((1, 1, 1, 1), 1e9)}, ["x", "c"])
    with pytest.raises(HwquantError, match=r"'c' has magnitudes up to 1e\+200"):
        observe(graph, {"x": np.full((1, 1, 1, 1), 1e-108)}, ["c"])
