"""The executor of requests: exactly what the model of a board answers and does, whatever the requests."""

import numpy as np
import pytest
from amaranth.hdl import Value
from hwquant_testing.clocked import simulate
from hwquant_testing.link_model import ModelAccelerator, ModelBoard

from hwquant.link.protocol import MAX_PAYLOAD, VERSION, Request, Status, word_bytes
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.link import LinkExecutor

CONFIGS = {
    "4 bits": ArrayConfig(2, 2, activation_bits=2),
    "8 bits": ArrayConfig(2, 2, activation_bits=4),
    "25 bits": ArrayConfig(5, 5, activation_bits=5, weight_bits=3),
    "64 bits": ArrayConfig(8, 8),
}
REGISTERS = {address: 0x01020304 * (address + 3) & 0xFFFFFFFF for address in range(16)}
WORDS = 5


def code(request):
    return VERSION << 4 | request


class Bench:
    """Sends packets to an executor, each when the response to the one before has been taken."""

    def __init__(self, config, words=WORDS, *, idle=0.0, busy=0.0, stall=0.0, gaps=0.0, loads=0, seed=0):
        self.config, self.component = config, LinkExecutor(config, loadable=bool(loads))
        self.rng = np.random.default_rng(seed)
        self.idle, self.busy, self.stall, self.gaps = idle, busy, stall, gaps
        self.accelerator = ModelAccelerator(words, self.compute, loads=loads)
        self.responses, self.resets = [], 0

    def compute(self, frame):
        return [word ^ 1 for word in frame]

    def run(self, packets):
        """The responses to packets; None stands for a damaged one."""

        async def host(ctx):
            link = self.component
            for number, body in enumerate(packets):
                ctx.set(link.damaged, int(body is None))
                for index, byte in enumerate(body or b""):
                    while self.rng.random() < self.idle:
                        await ctx.tick()
                    ctx.set(link.packets.valid, 1)
                    ctx.set(link.packets.payload, {"data": byte, "last": int(index == len(body) - 1)})
                    await ctx.tick().until(link.packets.ready)
                    ctx.set(link.packets.valid, 0)
                if body is None:
                    await ctx.tick()
                    ctx.set(link.damaged, 0)
                for _ in range(5000):
                    if len(self.responses) > number:
                        break
                    await ctx.tick()
                assert len(self.responses) == number + 1, f"no response to {body!r}"
                await ctx.tick().repeat(3)

        async def listen(ctx):
            link, body = self.component, bytearray()
            while True:
                ctx.set(link.responses.ready, int(self.rng.random() >= self.busy))
                _, _, valid, ready, beat = await ctx.tick().sample(
                    link.responses.valid, link.responses.ready, link.responses.payload
                )
                if valid and ready:
                    body.append(beat.data)
                    if beat.last:
                        self.responses.append(bytes(body))
                        body.clear()

        async def accelerator(ctx):
            """Registers, frames and results; the model between them moves with the clock."""
            link, model = self.component, self.accelerator
            offered = False
            load = (link.load.valid, link.load.payload) if model.loads else (0, 0)
            while True:
                ctx.set(link.bus.read_data, REGISTERS[ctx.get(link.bus.address)])
                stalls = model.frame and self.rng.random() < self.stall  # only within a frame
                ctx.set(link.frames.ready, int(model.ready and not stalls))
                offered = bool(model.results) and (offered or self.rng.random() >= self.gaps)
                ctx.set(link.results.valid, int(offered))
                ctx.set(link.results.payload, {"data": model.results[0] if offered else 0})
                _, _, reset, write, ready, word, take, loads, weights = await ctx.tick().sample(
                    link.reset,
                    link.frames.valid,
                    link.frames.ready,
                    link.frames.payload,
                    link.results.ready,
                    *map(Value.cast, load),
                )
                if offered and take:
                    offered = False
                    model.results.popleft()
                if write and ready:
                    model.write(word.data, bool(word.last))
                if loads:
                    model.load(weights)
                if reset:
                    self.resets += 1
                    model.reset()
                    offered = False

        simulate(self.component, host, background=[listen, accelerator])
        return self.responses


def words_to_bytes(words, config):
    return b"".join(word.to_bytes(word_bytes(config.word_bits), "little") for word in words)


def random_words(rng, number, config):
    return [int.from_bytes(rng.bytes(9), "little") & (1 << config.word_bits) - 1 for _ in range(number)]


def random_requests(rng, config, number, loads):
    """Requests of a host that does everything that a host may do, and of one that does not."""
    yield None
    yield bytes([code(Request.PEEK), 0, 3])
    sequence, open_words, previous = 5, 0, None
    yield bytes([code(Request.OPEN), sequence, *rng.bytes(8)])
    reading = False
    for _ in range(number):
        chance = rng.random()
        if chance < 0.06:
            yield None
            continue
        if chance < 0.12 and previous:
            yield previous
            continue
        if chance < 0.16:  # neither the expected number nor the one before
            yield bytes([code(Request.READ), (sequence + int(rng.integers(2, 256))) % 256, 9])
            continue
        if chance < 0.19:
            sequence, open_words, reading = int(rng.integers(256)), 0, False
            previous = bytes([code(Request.OPEN), sequence, *rng.bytes(int(rng.integers(0, 9)))])
            yield previous
            continue
        sequence = (sequence + 1) % 256
        kind = rng.choice(["peek", "read", "write", "unknown"], p=[0.15, 0.35, 0.45, 0.05])
        if loads and rng.random() < 0.25:
            kind = "load"
        if kind == "peek":
            body = [code(Request.PEEK), sequence, int(rng.integers(8))]
        elif kind == "unknown":
            body = [int(rng.choice([code(0), code(9), 0x23, 0x03])), sequence, *rng.bytes(3)]
        elif kind == "load":
            bits = config.columns * config.slot_bits
            body = [code(Request.LOAD), sequence]
            for _ in range(rng.integers(1, loads)):
                word = int.from_bytes(rng.bytes(8), "little") & (1 << bits) - 1
                body += word.to_bytes(word_bytes(bits), "little")
        elif kind == "read":
            body = [code(Request.READ), sequence, int(rng.integers(0, 4))]
            reading = reading and rng.random() < 0.5
        else:
            count = int(rng.integers(1, WORDS - open_words + 1))
            last = open_words + count == WORDS
            body = [code(Request.LAST if last else Request.WRITE), sequence]
            body += words_to_bytes(random_words(rng, count, config), config)
            previous = bytes(body)
            busy = yield previous
            if not busy:
                open_words = 0 if last else open_words + count
            continue
        previous = bytes(body)
        yield previous


def expected_responses(config, number, seed, loads):
    """Requests and what the model answers: (requests, responses, the model)."""
    rng = np.random.default_rng(seed)
    accelerator = ModelAccelerator(WORDS, lambda frame: [word ^ 1 for word in frame], REGISTERS, loads=loads)
    model = ModelBoard(accelerator, config.word_bits, config.columns * config.slot_bits)
    requests, responses = [], []
    generator = random_requests(rng, config, number, loads)
    request = next(generator)
    while True:
        requests.append(request)
        responses.append(model._answer(request))
        try:
            request = generator.send(responses[-1][0] & 15 == Status.BUSY)
        except StopIteration:
            return requests, responses, model


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("pauses", "loads"), [(0.0, 0), (0.4, 0), (0.2, 5)])
def test_the_executor_answers_as_the_model_of_a_board_does(name, pauses, loads):
    config = CONFIGS[name]
    requests, responses, model = expected_responses(config, 160 if loads else 120, len(name), loads)
    bench = Bench(config, idle=pauses, busy=pauses, loads=loads, seed=7)
    assert bench.run(requests) == responses
    assert bench.accelerator.weights == model.accelerator.weights
    assert bool(model.accelerator.weights) == bool(loads)
    assert bench.accelerator.inferences == model.accelerator.inferences > 2
    statuses = {Status(response[0] & 15) for response in responses}
    assert statuses == set(Status), "the requests lead to all answers"
    opened = sum(body is not None and body[0] == code(Request.OPEN) for body in requests)
    assert bench.resets == opened


def requests_of(payloads):
    """OPEN and then requests with ascending numbers."""
    return [bytes([code(Request.OPEN), 0])] + [
        bytes([code(request), index + 1, *payload]) for index, (request, payload) in enumerate(payloads)
    ]


def test_words_that_stall_are_all_written():
    """Once a request was accepted, the executor waits for the accelerator within the frame."""
    config = CONFIGS["25 bits"]
    words = random_words(np.random.default_rng(0), 40, config)
    bench = Bench(config, words=40, stall=0.5, seed=3)
    responses = bench.run(requests_of([(Request.LAST, words_to_bytes(words, config))]))
    assert responses[-1] == bytes([code(Status.OK), 1])
    assert list(bench.accelerator.results) == [word ^ 1 for word in words]


def test_a_read_ends_where_results_pause_and_loses_nothing():
    config = CONFIGS["64 bits"]
    words = random_words(np.random.default_rng(1), 20, config)
    bench = Bench(config, words=20, gaps=0.3, seed=4)
    reads = [(Request.READ, bytes([4]))] * 80
    responses = bench.run(requests_of([(Request.LAST, words_to_bytes(words, config)), *reads]))
    parts = [response[2:] for response in responses[2:]]
    assert b"".join(parts) == words_to_bytes([word ^ 1 for word in words], config)
    assert len({len(part) for part in parts}) > 2


@pytest.mark.parametrize("name", CONFIGS)
def test_a_read_returns_no_more_than_fits(name):
    config = CONFIGS[name]
    size = word_bytes(config.word_bits)
    fits = MAX_PAYLOAD // size
    words = random_words(np.random.default_rng(2), fits + 1, config)
    payload = words_to_bytes(words, config)
    bench = Bench(config, words=fits + 1)
    requests = [(Request.WRITE, payload[: fits * size]), (Request.LAST, payload[fits * size :])]
    responses = bench.run(requests_of([*requests, (Request.READ, b"\xff"), (Request.READ, b"\xff")]))
    result = words_to_bytes([word ^ 1 for word in words], config)
    assert [response[2:] for response in responses[3:]] == [result[: fits * size], result[fits * size :]]


def test_requests_without_their_payload_do_nothing():
    empty = [(request, b"") for request in (Request.PEEK, Request.WRITE, Request.LAST, Request.READ)]
    long = [(request, b"\1\1") for request in (Request.PEEK, Request.READ)]
    responses = Bench(CONFIGS["8 bits"]).run(requests_of([*empty, *long]))
    assert responses == [bytes([code(Status.OK), n]) for n in range(7)]
