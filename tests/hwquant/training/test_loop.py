"""The training loop."""

import numpy as np
import pytest
import torch
from torch import nn

from hwquant.errors import HwquantError
from hwquant.training import Checkpoint, TrainableNetwork, Training, TrainOptions, accuracy, fit


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first | second)


@pytest.fixture
def network(build):
    return lambda: TrainableNetwork(build("residual", 1))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "l1", "l2", "cross_entropy+0.1*mse"])
def test_every_loss_falls_with_every_optimizer(network, samples, labels, optimizer, loss):
    options = TrainOptions(epochs=4, optimizer=optimizer, loss=loss, lr=1e-3, batch_size=16, momentum=0.5)
    results = fit(network(), Training((samples, labels), options))
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert results[-1].loss < results[0].loss


def test_a_network_learns_digits_again_from_noisy_weights(digits_graph, digits):
    train, (x, y), _ = digits
    network = TrainableNetwork(digits_graph)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
            parameter.add_(parameter.std() * noise)
    before = accuracy(network, x, y)
    options = TrainOptions(epochs=8, lr=3e-3, batch_size=16)
    results = fit(network, Training(train, options, evaluate=lambda m: accuracy(m, x, y)))
    assert before < 0.8 < 0.9 < results[-1].score == accuracy(network, x, y)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(network, samples, labels):
    results = []
    for seed in (1, 1, 2):
        trained = network()
        torch.rand(seed)  # whatever the caller drew before
        fit(trained, Training((samples, labels), TrainOptions(epochs=1.5, seed=seed, batch_size=16)))
        results.append(weights(trained))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_the_caller_s_random_numbers_are_left_alone(network, samples, labels):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(network(), Training((samples, labels), TrainOptions(epochs=1)))
    assert torch.equal(torch.rand(3), expected)


def test_one_epoch_is_what_torch_does_step_by_step(network, samples, labels):
    ours, theirs = network(), network()
    options = TrainOptions(epochs=1, optimizer="sgd", lr=0.01, schedule="constant", batch_size=64, momentum=0)
    fit(ours, Training((samples, labels), options))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01)
    nn.functional.cross_entropy(theirs(torch.tensor(samples)), torch.tensor(labels)).backward()
    optimizer.step()
    for name, value in weights(theirs).items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_loader_loss_and_optimizer_of_the_user_are_used(network, samples, labels):
    dataset = torch.utils.data.TensorDataset(torch.tensor(samples), torch.tensor(labels))
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
    calls = []

    def loss(output, y):
        calls.append(len(y))
        return nn.functional.cross_entropy(output, y, label_smoothing=0.1)

    trained = []
    for _ in range(2):  # its order comes from torch's generator, which is seeded
        module = network()
        options = TrainOptions(epochs=1.5)
        fit(module, Training(loader, options, loss=loss, optimizer=lambda p: torch.optim.Adagrad(p, lr=0.01)))
        trained.append(weights(module))
    assert calls == [16] * 12  # four batches, then half of them, twice
    assert same(*trained)


def test_fractions_of_an_epoch_take_as_many_batches(network, samples, labels):
    seen = []

    def loss(output, y):
        seen.append(len(y))
        return output.sum()

    fit(network(), Training((samples, labels), TrainOptions(epochs=2.25, batch_size=8), loss=loss))
    assert seen == [8] * (8 + 8 + 2)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"schedule": "constant"}, [1, 1, 1, 1]),
        ({"schedule": "cosine"}, [1, 0.853553, 0.5, 0.146447]),
        ({"schedule": "step", "lr_steps": 1}, [1, 1, 0.01, 0.01]),
        ({"schedule": "exponential", "lr_end": 0.0625}, [1, 0.5, 0.25, 0.125]),
        ({"schedule": "one_cycle"}, [0.04, 0.933013 * 0.96 + 0.04, 0.811745, 0.283061]),
        ({"schedule": "constant", "warmup": 0.5}, [0.04, 0.52, 1, 1]),
    ],
)
def test_the_schedule_scales_the_rate(network, samples, labels, schedule, expected):
    rates = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    options = TrainOptions(epochs=2, batch_size=32, **schedule)
    fit(network(), Training((samples, labels), options, optimizer=lambda p: Spy(p, lr=0.01)))
    np.testing.assert_allclose(rates, 0.01 * np.array(expected), rtol=1e-5)


def test_float_targets_are_compared_with_the_outputs(network, samples):
    targets = np.random.default_rng(0).normal(size=(64, 5))
    options = TrainOptions(epochs=5, loss="mse", batch_size=8, lr=3e-3)
    results = fit(network(), Training((samples, targets), options))
    assert results[-1].loss < results[0].loss


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_resumed_training_ends_with_the_same_bits(network, samples, labels, tmp_path, optimizer, after):
    options = TrainOptions(epochs=4, optimizer=optimizer, batch_size=16)
    whole = network()
    expected = fit(whole, Training((samples, labels), options))

    def stop(stage, done, total, note):
        assert (stage, total) == ("train", 4)
        assert note.startswith("loss ")
        if done == after + 1:  # the epoch after the one that was saved last is lost
            raise Interrupt

    path = tmp_path / "training.pt"
    first = network()
    training = Training((samples, labels), options, progress=stop, checkpoint=path)
    if after < 4:
        with pytest.raises(Interrupt):
            fit(first, training)
    else:
        fit(first, training)
    assert [item.name for item in tmp_path.iterdir()] == ["training.pt"]
    second = network()
    results = fit(second, Training((samples, labels), options, checkpoint=path, resume=True))
    assert results == expected
    assert same(weights(second), weights(whole))


def test_a_loss_that_is_not_a_number_stops_the_training(network, samples, labels):
    broken = samples.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(HwquantError, match="the loss became nan in epoch 1; choose a lower learning rate"):
        fit(network(), Training((broken, labels), TrainOptions(epochs=1, batch_size=64)))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(64, 5), "labels reach from 5 to 5, the network's output has 5 scores"),
        (np.zeros((64, 2)), "targets y have the shape (64, 2), the network's output has 5 values a sample"),
        (np.zeros((64, 1), np.int64), "labels y have the shape (64, 1)"),
        (np.zeros(63, np.int64), "training data have 64 samples x and 63 labels y"),
    ],
)
def test_labels_that_do_not_fit_are_refused(network, samples, y, message):
    with pytest.raises(HwquantError) as error:
        fit(network(), Training((samples, y), TrainOptions(batch_size=64)))
    assert message in str(error.value)


def test_an_empty_loader_and_one_without_length_are_refused(network, samples, labels):
    with pytest.raises(HwquantError, match="the training data are empty"):
        fit(network(), Training([]))
    batches = iter([(torch.tensor(samples), torch.tensor(labels))])
    with pytest.raises(HwquantError, match="a loader without a length cannot be cut"):
        fit(network(), Training(batches, TrainOptions(epochs=0.5)))


def test_samples_may_have_any_strides(network, samples, labels):
    trained = network()
    fit(trained, Training((samples[::-1], labels[::-1]), TrainOptions(epochs=1)))
    assert accuracy(trained, samples[::-1], labels[::-1]) == accuracy(trained, samples, labels)


def test_no_epochs_change_nothing(network, samples, labels):
    trained = network()
    before = weights(trained)
    assert fit(trained, Training((samples, labels), TrainOptions(epochs=0))) == []
    assert same(before, weights(trained))


def test_the_checkpoint_of_another_training_is_refused(network, samples, labels, tmp_path):
    path, options = tmp_path / "training", TrainOptions(epochs=1)
    fit(network(), Training((samples, labels), options, checkpoint=path))
    with pytest.raises(HwquantError, match=r"what differs: training data\)"):
        fit(network(), Training((samples, labels[::-1]), options, checkpoint=path, resume=True))
    with pytest.raises(HwquantError, match="resume needs the checkpoint to resume from"):
        Training((samples, labels), options, resume=True)


def test_one_checkpoint_serves_several_stages(network, samples, labels, tmp_path):
    file, trained = Checkpoint(tmp_path / "training", {}), network()
    training = Training((samples, labels), TrainOptions(epochs=1))
    for stage in ("first", "second"):
        fit(trained, training, checkpoint=file, stage=stage)
        assert file.state["fit"]["stage"] == stage
