"""Runs inside the simulator: drivers of cores behind AXI DMA, unchanged, against models of the DMA and of pynq.

See tests/rtl_templates/test_pynq.py and tests/rtl_templates/test_dma_driver.py. A driver runs in a thread of its own
(cocotb's bridge), and time goes on in the simulation while it asks.
"""

import ctypes
import importlib
import json
import os
import sys
import types
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles
from cocotbext.axi import (
    AxiBus,
    AxiSlave,
    AxiStreamFrame,
)
from hwquant_testing.axi_pauses import core_buses, pause

CASE = json.loads(os.environ["HWQUANT_AXI"]) if "HWQUANT_AXI" in os.environ else {}
"""folder: of the core's files and of the scenario's arrays; pauses: chance of one; and what a scenario wants."""
INTERNAL, DECODE = 1 << 4, 1 << 6
"""Errors in a status of AXI DMA: of a length, of an address."""
PAGE = 4096
WAIT = 50
"""Clock cycles that pass whenever a driver asks whether something is complete."""


class Design:
    """The core between the processor and its memory, and the two streams of a DMA.

    A beat takes ``beat_bytes`` in memory, as ``word_bytes`` a word of results: the converters of the block design take
    the low bytes that the core has, and add zeros above.
    """

    def __init__(self, dut, beat_bytes, word_bytes):
        self.dut = dut
        self.beat_bytes, self.word_bytes = beat_bytes, word_bytes
        self.registers, self.source, self.sink = core_buses(dut, CASE["pauses"])

    async def start(self):
        """Clock and reset."""
        cocotb.start_soon(Clock(self.dut.aclk, 10, "ns").start())
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 5)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 5)

    async def read(self, address):
        return await self.registers.read_dword(address)

    async def write(self, address, value):
        await self.registers.write_dword(address, value)

    async def send(self, data):
        beats = np.frombuffer(data, np.uint8).reshape(-1, self.beat_bytes)
        own = len(self.dut.s_axis_tdata) // 8
        assert not beats[:, own:].any(), "the converter would drop something"
        await self.source.send(AxiStreamFrame(beats[:, :own].tobytes()))

    def sent(self):
        return self.source.idle()

    def received(self):
        """The bytes of a result that has come, or None."""
        if self.sink.empty():
            return None
        words = np.frombuffer(bytes(self.sink.recv_nowait().tdata), np.uint8)
        words = words.reshape(-1, len(self.dut.m_axis_tdata) // 8)
        return np.pad(words, ((0, 0), (0, self.word_bytes - words.shape[1]))).tobytes()

    async def passes(self):
        await ClockCycles(self.dut.aclk, WAIT)


class Contents:
    """Memory behind the core's AXI4 port, as pynq has allocated it."""

    def __init__(self):
        self.bytes = bytearray(PAGE)  # nothing is at address 0

    async def read(self, address, length):
        assert address + length <= len(self.bytes)
        return bytes(self.bytes[address : address + length])

    async def write(self, address, data):
        assert address + len(data) <= len(self.bytes)
        self.bytes[address : address + len(data)] = data


class Buffer(np.ndarray):
    """What pynq allocates: an array, its address, and what moves it to memory."""

    def flush(self):
        raw = self.tobytes()
        self.contents.bytes[self.device_address : self.device_address + len(raw)] = raw


class Channel:
    """A channel of pynq's DMA, which takes one transfer at a time, and halts at an error."""

    def __init__(self, design):
        self.design = design
        self.buffer = None
        self.errors = 0

    @property
    def idle(self):
        resume(self.design.passes)()
        return not self.errors and self.done()

    @property
    def error(self):
        return self.errors != 0

    def transfer(self, array):
        assert isinstance(array, Buffer)
        assert not self.errors, "DMA channel not started"
        assert self.buffer is None, "DMA channel not idle"
        self.buffer = array
        if array.device_address == CASE["unreachable"]:
            self.errors = DECODE
        else:
            self.begin()

    def wait(self):
        assert self.buffer is not None, "DMA channel not started"
        while not self.done():
            assert not self.errors, "DMA error"
            resume(self.design.passes)()
        self.buffer = None


class Send(Channel):
    """To the core."""

    def begin(self):
        resume(self.design.send)(self.buffer.tobytes())

    def done(self):
        return self.design.sent()


class Receive(Channel):
    """From the core."""

    def begin(self):
        self.complete = False

    def done(self):
        if not self.complete:
            data = self.design.received()
            if data is not None:
                if len(data) > self.buffer.nbytes:
                    self.errors = INTERNAL
                else:
                    self.buffer[:] = np.frombuffer(data, np.uint8).reshape(self.buffer.shape)
                    self.complete = True
        return self.complete


class Channels:
    """pynq's DMA: its channels, and its registers, of which a driver reads the errors."""

    def __init__(self, design):
        self.sendchannel, self.recvchannel = Send(design), Receive(design)

    def read(self, address):
        return {0x04: self.sendchannel, 0x34: self.recvchannel}[address].errors


class Registers:
    """The core in the overlay, as pynq's DefaultIP."""

    def __init__(self, design):
        self.read, self.write = resume(design.read), resume(design.write)


@cocotb.test()
async def pynq(dut):
    """Run samples through the driver for PYNQ, whose outputs are left in a file."""
    folder = Path(CASE["folder"])
    description = folder / "net_network.json"
    network = json.loads(description.read_text())
    contents = Contents()

    def allocate(shape, dtype):
        buffer = np.full(shape, 0xA5, dtype).view(Buffer)
        buffer.contents, buffer.device_address = contents, len(contents.bytes)
        contents.bytes += bytes(-(-buffer.nbytes // PAGE) * PAGE)
        return buffer

    sys.modules["pynq"] = types.SimpleNamespace(allocate=allocate)
    sys.path.insert(0, str(folder))
    driver = importlib.import_module("hwquant_pynq")
    design = Design(dut, network["beat_bytes"], network["word_bytes"])
    if hasattr(dut, "m_axi_araddr"):
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        memory = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.aclk, target=contents, **reset)
        if CASE["pauses"]:
            pause(memory, CASE["pauses"], seed=100)
    await design.start()
    overlay = types.SimpleNamespace(core=Registers(design), dma=Channels(design))
    with np.load(folder / "x.npz") as file:
        x = dict(file)

    def use():
        outside = folder / "external.bin"
        core = driver.HwquantCore(
            overlay, description, outside if outside.exists() else None, patience=CASE["patience"]
        )
        found = core.predict(next(iter(x.values())) if len(x) == 1 else x)
        return found, core.cycles

    try:
        found, cycles = await bridge(use)()
    except (RuntimeError, ValueError) as error:
        (folder / "error").write_text(str(error))
    else:
        np.savez(folder / "y.npz", **found, **{"cycles:": cycles})


class Dma:
    """AXI DMA in simple mode (PG021), as a driver sees it: registers of two channels, and this process' memory."""

    BASE = 0x10000
    HALTED, IDLE = 1 << 0, 1 << 1

    def __init__(self, design):
        self.design = design
        self.registers = {}
        self.reset()

    def reset(self):
        self.running, self.idle = {0: False, 0x30: False}, {0: False, 0x30: False}
        self.pending = None
        self.errors = 0

    async def read(self, address):
        channel = 0x30 if address >= 0x30 else 0
        match address - channel:
            case 0x00:
                return int(self.running[channel])
            case 0x04:
                await self.design.passes()
                self._look()
                state = self.IDLE * self.idle[channel] | self.HALTED * (not self.running[channel])
                return state | (self.errors if channel else 0)
        raise AssertionError(f"the driver reads {address:#x}")

    async def write(self, address, value):
        channel = 0x30 if address >= 0x30 else 0
        self.registers[address] = value
        match address - channel:
            case 0x00 if value & 4:
                self.reset()
            case 0x00:
                self.running[channel] = bool(value & 1)
            case 0x18 | 0x1C:
                pass
            case 0x28:
                assert self.running[channel], "a length does nothing to a channel that is halted"
                data = self.registers[channel + 0x18] | self.registers[channel + 0x1C] << 32
                self.idle[channel] = False
                if channel:
                    self.pending = data, value
                else:
                    assert self.pending, "there must be room for the result before"
                    await self.design.send(ctypes.string_at(data, value))
            case _:
                raise AssertionError(f"the driver writes {address:#x}")

    def _look(self):
        self.idle[0] = self.running[0] and self.design.sent()
        if self.pending and (data := self.design.received()) is not None:
            target, size = self.pending
            self.pending = None
            if len(data) > size:
                self.errors = INTERNAL
            else:
                ctypes.memmove(target, data, len(data))
                self.idle[0x30] = True


class Network(ctypes.Structure):
    """struct hwquant_network."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("identity", "version", "checksum", "beats", "beat_bytes", "words", "word_bytes")
    ] + [("memory_bytes", ctypes.c_uint64)]


class Core(ctypes.Structure):
    """struct hwquant_dma."""

    _fields_ = [
        ("registers", ctypes.c_size_t),
        ("dma", ctypes.c_size_t),
        ("network", ctypes.POINTER(Network)),
        ("patience", ctypes.c_uint32),
    ]


READ = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_size_t)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_uint32)


@cocotb.test()
async def c_driver(dut):
    """Run frames through the C driver, which was compiled as a library; what it says is left in a file."""
    folder = Path(CASE["folder"])
    library = ctypes.CDLL(str(folder / "driver.so"))
    library.network.restype = ctypes.POINTER(Network)
    library.hwquant_dma_result_bytes.restype = ctypes.c_size_t
    network = library.network().contents
    design = Design(dut, network.beat_bytes, network.word_bytes)
    dma = Dma(design)
    await design.start()
    failures = []

    def guarded(function):
        """An exception cannot pass through C: it is kept."""

        def call(*arguments):
            try:
                return function(*arguments)
            except BaseException as error:
                failures.append(error)
                return 0

        return call

    def place(address):
        return (dma, address - Dma.BASE) if address >= Dma.BASE else (design, address)

    async def read(address):
        device, offset = place(address)
        return await device.read(offset)

    async def write(address, value):
        device, offset = place(address)
        await device.write(offset, value)

    bus = READ(guarded(resume(read))), WRITE(guarded(resume(write)))
    library.set_bus(*bus)
    for name, change in CASE["changes"].items():
        setattr(network, name, getattr(network, name) + change)
    core = Core(0, Dma.BASE, ctypes.pointer(network), CASE["wait"])
    said = {"open": None, "infer": []}

    def use():
        said["open"] = library.hwquant_dma_open(ctypes.byref(core))
        for frame in CASE["frames"] if said["open"] == 0 else ():
            frame_bytes = ctypes.create_string_buffer(bytes(frame), len(frame))
            result = ctypes.create_string_buffer(library.hwquant_dma_result_bytes(ctypes.byref(core)))
            status = library.hwquant_dma_infer(ctypes.byref(core), frame_bytes, result)
            said["infer"].append([status, library.hwquant_dma_cycles(ctypes.byref(core)), list(result.raw)])
            if status:
                break

    await bridge(use)()
    assert not failures, failures
    (folder / "said.json").write_text(json.dumps(said))
