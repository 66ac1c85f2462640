"""A core of hwquant behind AXI DMA, from PYNQ: real numbers in, real numbers out.

Beside this file, which wants nothing but pynq and numpy, lie the overlay that ``NAME_design.tcl`` makes and the
description of the network, which ``hwquant core`` wrote::

    import pynq
    from hwquant_pynq import HwquantCore

    core = HwquantCore(pynq.Overlay("net.bit"), "net_network.json")
    scores = core.predict(x)["scores"]  # x: (N, *shape); a mapping by name where there are several inputs
    core.cycles  # of the latest inference

Tested against the simulated core behind a model of pynq's DMA, not on a board.
"""

# Annotations with brackets are in quotes: Python 3.8 of older PYNQ does not evaluate them.
import base64
import json
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pynq

IDENTITY, VERSION, CHECKSUM, STATUS, CYCLES, MEMORY = 0x00, 0x04, 0x08, 0x10, 0x14, 0x34
"""Addresses of registers, from ``registers.rdl``."""
SEND_STATUS, RECEIVE_STATUS = 0x04, 0x34
"""Addresses of AXI DMA's status registers (AMD, PG021)."""


class HwquantCore:
    """A core in a running overlay.

    Parameters
    ----------
    overlay : pynq.Overlay
        The overlay: its cell ``core`` has the registers, ``dma`` the streams.
    description : str or Path
        ``NAME_network.json`` of ``hwquant core``.
    memory : str or Path, optional
        ``external.bin`` of the build, for a core with external memory.
    patience : float, default 1.0
        Seconds until an inference must be complete.

    Attributes
    ----------
    network : dict
        The description: names, shapes and scales of inputs and outputs, sizes of frames.

    Raises
    ------
    RuntimeError
        The overlay has another core, or ``memory`` is missing.
    """

    def __init__(
        self,
        overlay: Any,
        description: "str | Path",
        memory: "str | Path | None" = None,
        patience: float = 1.0,
    ) -> None:
        self.network = network = json.loads(Path(description).read_text(encoding="utf-8"))
        self._registers, self._dma, self._patience = overlay.core, overlay.dma, patience
        for name, address in (("identity", IDENTITY), ("version", VERSION), ("checksum", CHECKSUM)):
            found = self._registers.read(address)
            if found != network[name]:
                raise RuntimeError(
                    f"the core's {name} is {found:#010x}, {description} expects {network[name]:#010x}; "
                    "overlay and description must come from one hwquant core"
                )
        self._sources = _numbers(network["frame"])
        self._constants = np.array(network["constants"], np.int64)
        self._places = [_numbers(output["words"]) for output in network["outputs"]]
        self._frame = pynq.allocate((network["beats"], network["beat_bytes"]), np.uint8)
        self._result = pynq.allocate((network["words"], network["word_bytes"]), np.uint8)
        self._frame[:] = 0
        self._memory = self._fill(memory, network["memory_bytes"]) if network["memory_bytes"] else None

    @property
    def cycles(self) -> int:
        """Clock cycles of the latest inference."""
        return int(self._registers.read(CYCLES))

    def predict(self, x: Any) -> "dict[str, Any]":
        """Run the network on samples.

        Parameters
        ----------
        x : ndarray of real numbers, shape (N, *shape), or mapping of them
            The samples; by name of input where there are several. The network's states are inputs like any other.

        Returns
        -------
        dict of ndarray
            By name of output, float64 (N, *shape); int64 where it is an arg max. What a network leaves to the host
            before its first and after its last layer on the array is not computed.

        Raises
        ------
        ValueError
            An input is missing, has another shape, or holds NaN or infinity.
        RuntimeError
            The DMA met an error, a result did not come in time, or the core has stopped.
        """
        inputs = self.network["inputs"]
        if not isinstance(x, Mapping):
            x = {inputs[0]["name"]: x}
        integers = []
        for item in inputs:
            if item["name"] not in x:
                raise ValueError(f"the input {item['name']!r} is missing")
            integers.append(quantize(item, np.asarray(x[item["name"]])))
        if len({len(values) for values in integers}) > 1:
            raise ValueError("the inputs differ in the number of samples")
        return self._outputs(self.run(integers))

    def run(self, integers: "list[Any]") -> "list[Any]":
        """Run the network on integers: int64 (N, elements) for each input, and the same for each output."""
        batch, count = self.network["batch"], len(integers[0])
        results: list[list[Any]] = [[] for _ in self._places]
        for start in range(0, count, batch):
            rows = np.minimum(np.arange(start, start + batch), count - 1)  # the last sample fills a batch
            parts = [values[rows].ravel() for values in integers]
            flat = np.concatenate([*parts, self._constants])
            self._frame[:] = self._pack(flat[self._sources])
            words = self._unpack(self._transfer())
            for found, places in zip(results, self._places):
                found.append(words[places].reshape(batch, -1))
        return [np.concatenate(found)[:count] for found in results]

    def _fill(self, path: "str | Path | None", size: int) -> Any:
        """Put what the core needs into external memory, and tell it where that is."""
        if path is None:
            raise RuntimeError("the core has external memory; give external.bin of its build as memory")
        image = np.fromfile(path, np.uint8)
        memory = pynq.allocate((size,), np.uint8)
        memory[: len(image)] = image
        memory.flush()
        self._registers.write(MEMORY, memory.device_address)
        return memory

    def _pack(self, values: Any) -> Any:
        """Join values to beats, uint8 (beats, beat_bytes), the first in the low bits."""
        network = self.network
        bits = (values.reshape(network["beats"], -1, 1) >> np.arange(network["bits"])) & 1
        packed = np.packbits(bits.reshape(network["beats"], -1).astype(np.uint8), axis=1, bitorder="little")
        return np.pad(packed, ((0, 0), (0, network["beat_bytes"] - packed.shape[1])))

    def _unpack(self, octets: Any) -> Any:
        """Split words into signed values, int64 (words * lanes)."""
        width, lanes = self.network["bits"], self.network["lanes"]
        bits = np.unpackbits(octets, axis=1, count=lanes * width, bitorder="little")
        weights = 1 << np.arange(width)
        weights[-1] = -weights[-1]
        return bits.reshape(-1, width).astype(np.int64) @ weights

    def _transfer(self) -> Any:
        """Send the frame, and wait for its result."""
        send, receive = self._dma.sendchannel, self._dma.recvchannel
        receive.transfer(self._result)
        send.transfer(self._frame)
        deadline = time.monotonic() + self._patience
        while not (send.idle and receive.idle):
            # An error halts its channel, which is not idle ever after.
            for channel, what, address in (
                (send, "read the frame", SEND_STATUS),
                (receive, "wrote the result", RECEIVE_STATUS),
            ):
                if channel.error:
                    raise RuntimeError(
                        f"the DMA met an error when it {what}: its status is {self._dma.read(address):#x} (bit 4: a "
                        "result longer than is expected, 5: memory has refused, 6: no memory at the address); load "
                        "the overlay again, with the description of the same hwquant core"
                    )
            if time.monotonic() > deadline:
                status = self._registers.read(STATUS)
                raise RuntimeError(
                    f"no result came in {self._patience} s: STATUS is {status:#x} (bit 0: busy, 1: stopped by an "
                    "illegal instruction, 23..8: frames that were dropped); load the overlay again"
                )
        send.wait()
        receive.wait()
        return np.array(self._result)

    def _outputs(self, results: "list[Any]") -> "dict[str, Any]":
        """Real numbers, and what functions the host computes of them."""
        outputs = {}
        for item, values in zip(self.network["outputs"], results):
            real = item["step"] * (values - item["zero_point"]).astype(np.float64)
            real = real.reshape(len(values), *item["shape"])
            for function in item["host"]:
                real = HOST[function](real)
            outputs[item["name"]] = real
        return outputs


def quantize(item: "Mapping[str, Any]", x: Any) -> Any:
    """Turn an input's samples (N, *shape) into integers, int64 (N, elements): rounded half up, saturated."""
    if list(x.shape[1:]) != item["shape"] or len(x) == 0:
        wanted = ", ".join(map(str, ("N", *item["shape"])))
        raise ValueError(
            f"input {item['name']!r} has shape ({wanted}), with at least one sample, not {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"input {item['name']!r} holds NaN or infinity")
    real = x.astype(np.float64) * np.array(item["scale"]) + np.array(item["shift"])
    integers = np.floor(real / item["step"] + 0.5) + item["zero_point"]
    return np.clip(integers, item["low"], item["high"]).astype(np.int64).reshape(len(x), -1)


def _numbers(text: str) -> Any:
    """Integers whose differences were compressed, int64."""
    differences = np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i4")
    return np.cumsum(differences, dtype=np.int64)


def _softmax(real: Any) -> Any:
    grown = np.exp(real - real.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def _log_softmax(real: Any) -> Any:
    lowered = real - real.max(axis=1, keepdims=True)
    return lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True))


HOST = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "argmax": lambda real: real.argmax(axis=1),
}
"""Functions of an output's first axis that are left to the host, by name."""
