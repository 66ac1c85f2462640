"""Damaged and crafted .pt2 files: refused, or what torch computes of them; never a crash.

``HWQUANT_FUZZ_CASES`` and ``HWQUANT_FUZZ_SEED`` make longer campaigns of the nightly ones.
"""

import io
import os

import numpy as np
import pytest
import torch
from hwquant_testing.limits import attempt
from hwquant_testing.pt2_mutations import mutated
from hwquant_testing.whole import load_model
from torch import nn
from torch.nn import functional as F

from hwquant.errors import HwquantError
from hwquant.floating import predict

CASES = int(os.environ.get("HWQUANT_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "1000000"))
BATCH = 100
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's, about files that it finds odd


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.last = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 1), nn.Linear(27, 4)
        self.register_buffer("scale", torch.rand(3, 1, 1))

    def forward(self, x):
        y = F.avg_pool2d(F.leaky_relu(self.one(x) + self.two(x) * self.scale, 0.1), 2)
        return F.log_softmax(self.last(y.permute(0, 2, 3, 1).flatten(1)), -1)


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.slope = nn.Conv2d(2, 3, 3), nn.PReLU(3)
        self.conv.weight = nn.Parameter(torch.randn(1, 2, 3, 3).expand(3, 2, 3, 3))

    def forward(self, x):
        return self.slope(self.conv(x.float() / 255)).mean((2, 3)), x.float().flatten(1).clamp(-1.0, 100.0)


@pytest.fixture(scope="module")
def files():
    """Bytes of files, and an input for each."""
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    chain = nn.Sequential(*layers, nn.Dropout(), nn.Linear(12, 5)).eval()
    x, pixels = torch.randn(3, 2, 6, 6), torch.randint(0, 256, (3, 2, 6, 6), dtype=torch.uint8)
    open_batch = ({0: torch.export.Dim("n")},)
    programs = [
        (torch.export.export(chain, (x,)), x),
        (torch.export.export(chain, (x,)).run_decompositions(), x),
        (torch.export.export(Branches(), (x,), dynamic_shapes=open_batch), x),
        (torch.export.export(Pixels(), (pixels,)), pixels),
        (torch.export.export(Pixels(), (pixels,)).run_decompositions(), pixels),
    ]
    return [(saved(program), example) for program, example in programs]


def saved(program):
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def run(files, seeds, path):
    for seed in seeds:
        data, x = files[seed % len(files)]
        content, kind = mutated(data, seed)
        path.write_bytes(content)
        graph = attempt(load_model, path)
        if isinstance(graph, HwquantError):
            assert str(graph), f"seed {seed}"
            continue
        if kind == "bytes":  # every byte that matters has a checksum, so nothing has changed
            path.write_bytes(data)
            for got, want in zip(
                predict(graph, x.numpy()), predict(load_model(path), x.numpy()), strict=True
            ):
                np.testing.assert_array_equal(got, want, err_msg=f"seed {seed}")
            continue
        compare_with_torch(graph, path, x, seed)


def compare_with_torch(graph, path, x, seed):
    if graph.inputs[0].shape != tuple(x.shape[1:]):
        x = torch.ones(3, *graph.inputs[0].shape).to(x.dtype)
    try:
        wants = torch.export.load(path).module()(x)
    except Exception:  # torch raises anything at a file that it cannot read: then it has no answer
        return
    wants = wants if isinstance(wants, tuple | list) else [wants]
    for got, want in zip(predict(graph, x.numpy()), wants, strict=True):
        want = want.detach().double().numpy()
        assert got.shape == want.shape, f"seed {seed}"
        if np.isfinite(want).all():
            assert np.abs(got - want).max() <= 1e-4 * max(np.abs(want).max(), 1e-3), f"seed {seed}"


def test_mutated_files_are_refused_or_what_torch_computes(files, tmp_path):
    run(files, range(80), tmp_path / "net.pt2")


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(SEED, SEED + CASES, BATCH))
def test_many_mutated_files_are_refused_or_what_torch_computes(files, tmp_path, start):
    run(files, range(start, min(start + BATCH, SEED + CASES)), tmp_path / "net.pt2")
