import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends import elementwise, operators
from hwquant.frontends.builder import Builder
from hwquant.frontends.tensors import ANY_BATCH
from hwquant.window import Window

RNG = np.random.default_rng(0)


def conv(build, value, name="conv"):
    channels = value.shape[1]
    return operators.conv(build, name, value, RNG.standard_normal((2, channels, 1, 1)), None, Window((1, 1)))


def test_the_first_reader_of_an_input_decides_its_layout_and_others_see_it_in_theirs():
    build = Builder("net", ANY_BATCH)
    x = build.input("x", (4, 5, 3))
    first = conv(build, x.view(lambda array: array.transpose(0, 3, 1, 2)))
    linear = operators.linear(build, "linear", x.view(lambda array: array.reshape(2, -1)), np.eye(60), None)
    build.output("first", first)
    build.output("whole", linear)
    graph = build.graph()
    assert graph.inputs[0].tensor_shape == (3, 4, 5)
    data = np.random.default_rng(1).standard_normal((6, 4, 5, 3))
    outputs = predict(graph, data)
    np.testing.assert_allclose(outputs[1], data.reshape(6, 60))
    want = np.einsum("oc,nhwc->nohw", graph.nodes[0].weight[:, :, 0, 0], data)
    np.testing.assert_allclose(outputs[0], want)


def test_a_second_preprocessing_is_computed_from_the_first():
    build = Builder("net", ANY_BATCH)
    x = build.input("x", (2, 3, 3))
    scale = np.array([2.0, 4.0]).reshape(2, 1, 1)
    first, second = (
        elementwise.affine(build, "a", x, scale, 1.0),
        elementwise.affine(build, "b", x, 3.0, scale),
    )
    build.output("first", elementwise.clip(build, "r", first, -np.inf, 5.0))
    build.output("second", second)
    graph = build.graph()
    data = np.random.default_rng(2).standard_normal((4, 2, 3, 3))
    got = predict(graph, data)
    np.testing.assert_allclose(got[0], np.minimum(data * scale + 1, 5))
    np.testing.assert_allclose(got[1], data * 3 + scale)


def test_a_second_preprocessing_of_an_input_that_was_multiplied_by_zero_is_refused():
    build = Builder("net", ANY_BATCH)
    x = build.input("x", (2, 3, 3))
    build.output("zero", elementwise.affine(build, "a", x, 0.0, 1.0))
    with pytest.raises(
        HwquantError, match=r"output 'x': input 'x' is multiplied by zero for its first reader"
    ):
        build.output("x", x)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_view_that_mixes_samples_or_loses_the_batch_is_refused(batch):
    build = Builder("net", batch)
    x = build.input("x", (4, 3))
    if batch > 1:
        mixed = x.view(lambda array: array.reshape(-1)[::-1].reshape(array.shape))
        with pytest.raises(HwquantError, match=r"mixes the samples of a batch"):
            build.sample(mixed)
    with pytest.raises(HwquantError, match=r"has lost its batch dimension"):
        build.sample(x.view(lambda array: array.reshape(4 * batch, 3)))


def test_names_stay_unique():
    build = Builder("net", ANY_BATCH)
    x = build.input("x", (2, 3, 3))
    names = [conv(build, x, name).tensor for name in ("x", "c", "c", "c_2")]
    assert names == ["x_2", "c", "c_2", "c_2_2"]


def test_weights_must_be_finite_real_numbers():
    build = Builder("net", ANY_BATCH)
    build.where = "node 'n'"
    with pytest.raises(HwquantError, match=r"node 'n': tensor 'w' contains NaN"):
        build.weights([1.0, np.nan], "w")
    with pytest.raises(HwquantError, match=r"tensor 'w' contains infinity"):
        build.weights([1.0, np.inf], "w")
    with pytest.raises(HwquantError, match=r"tensor 'w' holds .*, not real numbers"):
        build.weights(np.array(["a"]), "w")
    assert build.weights(np.float16([1.5]), "w").dtype == np.float64


def test_networks_and_inputs_must_not_be_empty():
    build = Builder("net", ANY_BATCH)
    with pytest.raises(HwquantError, match=r"input 'x' has the empty shape \(0, 2\)"):
        build.input("x", (0, 2))
    with pytest.raises(HwquantError, match=r"network 'net': it has no outputs"):
        build.graph()
