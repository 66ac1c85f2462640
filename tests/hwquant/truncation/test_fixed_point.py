"""Fixed point: every scale a power of two; one bit leaves two values a channel; fine-tuning repeats and resumes."""

import math

import numpy as np
import pytest

from hwquant import golden, hwq
from hwquant.errors import HwquantError
from hwquant.qgraph import Layer
from hwquant.quantize import observe_network, quantize_observed
from hwquant.quantize.calibration import importance
from hwquant.training import QuantizedNetwork, Training, TrainOptions
from hwquant.truncation import fixed_point

TRAINING = TrainOptions(epochs=2, lr=0.005, batch_size=16)


def terms(qgraph):
    return [(node, term) for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms]


def scales(qgraph):
    return [tensor.scale for tensor in qgraph.tensors.values()] + [
        scale for _, term in terms(qgraph) for scale in term.scale.tolist()
    ]


@pytest.fixture(scope="module")
def observed(digits_graph, digits):
    return observe_network(digits_graph, digits[2])


def finetune(observed, options, digits, training_options=TRAINING, **training):
    """Fine-tune on the training images; the test images decide nothing."""
    training = Training(digits[0], training_options, **training)
    return fixed_point.finetune(observed, options, training, {"image": digits[2]})


def test_int8_has_no_offsets_and_only_powers_of_two(observed):
    qgraph = quantize_observed(observed, fixed_point.options("int8", ()))
    assert {math.frexp(scale)[0] for scale in scales(qgraph)} == {0.5}
    assert not any(term.offset.any() for _, term in terms(qgraph))
    assert {term.bits for _, term in terms(qgraph)} == {8}


@pytest.mark.parametrize("finetuned", [False, True])
@pytest.mark.parametrize("values", ["bipolar", "unipolar"])
def test_binary_weights_of_a_channel_are_one_power_of_two_with_both_signs_or_with_zero(
    observed, digits, finetuned, values
):
    options = fixed_point.options("binary", ["conv1", "conv2"], values)
    if finetuned:
        qgraph = finetune(observed, options, digits)
    else:
        qgraph = quantize_observed(observed, options)
    assert {math.frexp(scale)[0] for scale in scales(qgraph)} == {0.5}
    bits = {layer.name: term.bits for layer, term in terms(qgraph)}
    assert bits == {"relu1": 1, "relu2": 1, "scores": 8}
    for _, term in terms(qgraph):
        if term.bits == 1:
            for channel in term.weight.reshape(len(term.codes), -1):
                found = set(channel.tolist())
                assert found <= {-1, 1} if values == "bipolar" else found in ({0, 1}, {-1, 0}, {0}, {1}, {-1})


def test_bipolar_weights_are_the_signs_and_their_scale_has_the_least_squared_error(observed):
    qgraph = quantize_observed(observed, fixed_point.options("binary", ["conv1", "conv2", "scores"]))
    floats = {node.name: node for node in observed.plan.layers}
    for layer, term in terms(qgraph):
        (plan,) = floats[layer.name].terms
        assert np.array_equal(term.weight, np.sign(plan.weight))
        variance, scale = importance(plan, observed.statistics), term.scale.reshape(-1, 1, 1, 1)
        errors = [
            (variance * (factor * scale * term.weight - plan.weight) ** 2).sum(axis=(1, 2, 3))
            for factor in (1, 2, 0.5)
        ]
        assert (errors[0] <= np.minimum(*errors[1:])).all()


@pytest.mark.parametrize(("values", "least"), [("bipolar", 0.8), ("unipolar", 0.7)])
def test_fine_tuning_regains_accuracy(observed, digits, values, least):
    _, (x, y), _ = digits
    options = fixed_point.options("binary", ["conv1", "conv2", "scores"], values)

    def accuracy(qgraph):
        return (golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean()

    training = TrainOptions(epochs=15, lr=0.005, batch_size=16)
    before = accuracy(quantize_observed(observed, options))
    after = accuracy(finetune(observed, options, digits, training_options=training))
    assert before + 0.1 < after
    assert after > least


def test_fine_tuning_gives_the_same_bytes_again_and_when_it_was_cut_off(observed, digits, tmp_path):
    options = fixed_point.options("binary", ["conv1", "conv2", "scores"])

    def run(name, **more):
        hwq.save(finetune(observed, options, digits, **more), tmp_path / name)
        return (tmp_path / name).read_bytes()

    class Stop(Exception):
        pass

    def stop(what, done, total, note):
        raise Stop

    whole = run("whole.hwq")
    assert run("again.hwq") == whole
    # The progress comes before the checkpoint: the first epoch is saved, the second is lost.
    path, calls = tmp_path / "checkpoint", iter([lambda *_: None, stop])
    with pytest.raises(Stop):
        run("cut.hwq", checkpoint=path, progress=lambda *arguments: next(calls)(*arguments))
    assert run("resumed.hwq", checkpoint=path, resume=True) == whole


def test_a_checkpoint_of_another_network_or_training_is_refused(observed, digits, tmp_path):
    options = fixed_point.options("binary", ["conv2"])
    short = TrainOptions(epochs=1, batch_size=100)
    path = tmp_path / "checkpoint"
    finetune(observed, options, digits, training_options=short, checkpoint=path)
    other = TrainOptions(epochs=1, batch_size=50)
    with pytest.raises(HwquantError, match=r"what differs: training options\)"):
        finetune(observed, options, digits, training_options=other, checkpoint=path, resume=True)
    with pytest.raises(HwquantError, match=r"what differs: training data\)"):
        finetune(
            observed, options, (digits[1], *digits[1:]), training_options=short, checkpoint=path, resume=True
        )
    with pytest.raises(HwquantError, match="resume needs the checkpoint"):
        Training(digits[0], short, resume=True)


@pytest.mark.parametrize(("values", "width"), [("bipolar", 2), ("unipolar", 1)])
def test_weights_are_put_back_into_the_range_of_their_codes_and_no_further(observed, values, width):
    network = QuantizedNetwork(observed, fixed_point.options("binary", ["conv2"], values))
    network.clamp_weights()  # nothing is decided yet
    before = network.weight("conv2").detach().clone()
    np.testing.assert_allclose(before, observed.graph.nodes[2].weight, rtol=1e-6)
    network.decide_grids(layer.name for layer in network.plan.layers)
    network.clamp_weights()
    after = network.weight("conv2").detach()
    span = after.flatten(1).amax(dim=1) - after.flatten(1).amin(dim=1)
    (term,) = (term for _, term in terms(quantize_observed(observed, network.options)) if term.bits == 1)
    assert (span <= width * after.new_tensor(term.scale.tolist())).all()
    inside = after == before
    assert inside.any()
    assert not inside.all()
    assert (after[~inside].abs() <= before[~inside].abs() + after.new_tensor(term.scale.max())).all()
