"""The executor of requests: exactly what the model of a board answers and does, whatever the requests."""

import numpy as np
import pytest
from amaranth.hdl import Value
from hwquant_testing.clocked import simulate
from hwquant_testing.link_model import ModelAccelerator, ModelBoard

from hwquant.link.protocol import LARGE, SEQUENCES, SMALL, VERSION, Request, Status, Window, word_bytes
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.link import LinkExecutor

CONFIGS = {
    "4 bits": ArrayConfig(2, 2, activation_bits=2),
    "8 bits": ArrayConfig(2, 2, activation_bits=4),
    "25 bits": ArrayConfig(5, 5, activation_bits=5, weight_bits=3),
    "64 bits": ArrayConfig(8, 8),
}
WINDOW, PATIENCE = Window(4, 32), 16
REGISTERS = {address: 0x01020304 * (address + 3) & 0xFFFFFFFF for address in range(16)}
WORDS = 5


def code(request):
    return VERSION << 4 | request


class Bench:
    """Sends packets to an executor, each when the response to the one before has been taken.

    For those that are not answered it waits as long as an answer may take.
    """

    def __init__(
        self, config, words=WORDS, *, idle=0.0, busy=0.0, stall=0.0, gaps=0.0, loads=0, seed=0, window=WINDOW
    ):
        self.config, self.component = (
            config,
            LinkExecutor(config, window, patience=PATIENCE, loadable=bool(loads)),
        )
        self.rng = np.random.default_rng(seed)
        self.idle, self.busy, self.stall, self.gaps = idle, busy, stall, gaps
        self.accelerator = ModelAccelerator(words, self.compute, loads=loads)
        self.responses, self.answers, self.resets = [], [], 0

    def compute(self, frame):
        return [word ^ 1 for word in frame]

    def run(self, packets, *others):
        """The responses to packets, None where there is none; a packet None stands for a damaged one."""

        async def host(ctx):
            link = self.component
            for body in packets:
                count = len(self.responses)
                ctx.set(link.damaged, int(body is None))
                for index, byte in enumerate(body or b""):
                    while self.rng.random() < self.idle:
                        await ctx.tick()
                    ctx.set(link.packets.valid, 1)
                    ctx.set(link.packets.payload, {"data": byte, "last": int(index == len(body) - 1)})
                    await ctx.tick().until(link.packets.ready)
                    ctx.set(link.packets.valid, 0)
                await ctx.tick()
                ctx.set(link.damaged, 0)
                await ctx.tick().repeat(2)
                for _ in range(3000):
                    if not ctx.get(link.active):
                        break
                    await ctx.tick()
                await ctx.tick()
                assert not ctx.get(link.active), f"{body!r} is not executed"
                self.answers.append(self.responses[-1] if len(self.responses) > count else None)
                assert len(self.responses) <= count + 1

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

        simulate(self.component, host, background=[listen, accelerator, *others])
        return self.answers


def words_to_bytes(words, config):
    return b"".join(word.to_bytes(word_bytes(config.word_bits), "little") for word in words)


def random_words(rng, number, config):
    return [int.from_bytes(rng.bytes(9), "little") & (1 << config.word_bits) - 1 for _ in range(number)]


def body_of(request, sequence, payload=b""):
    return (
        bytes([code(request) if isinstance(request, Request) else request])
        + (sequence % SEQUENCES).to_bytes(2, "little")
        + bytes(payload)
    )


def random_requests(rng, config, number, loads):
    """Requests of a host that does everything that a host may do, and of one that does not.

    It is told what is answered.
    """
    yield None
    yield body_of(Request.PEEK, 0, [3])
    sequence = SEQUENCES - 20
    kept = []  # what was executed in this session, and can be asked for again
    yield body_of(Request.OPEN, sequence, rng.bytes(8))
    open_words, again = 0, b""
    for _ in range(number):
        chance = rng.random()
        if chance < 0.06:
            yield None
        elif chance < 0.14 and kept:
            yield kept[int(rng.integers(max(0, len(kept) - WINDOW.packets + 1), len(kept)))]
        elif chance < 0.20:  # neither the expected number nor one of those before
            yield body_of(Request.READ, sequence + int(rng.integers(2, 60000)), [9])
        elif chance < 0.23:
            sequence, open_words, kept, again = int(rng.integers(SEQUENCES)), 0, [], b""
            opening = body_of(Request.OPEN, sequence, rng.bytes(int(rng.integers(0, 9))))
            yield opening
        elif chance < 0.25 and len(kept) > WINDOW.packets:
            yield opening  # late
        else:
            body = again
            if not again or rng.random() < 0.3:
                body = random_request(rng, config, sequence + 1, open_words, loads)
                if again and body[0] == again[0]:  # a read that goes on is the same read
                    body = again
            answer = yield body
            if answer is not None and answer[0] & 15 == Status.BUSY:
                again = body
                continue
            sequence, again = sequence + 1, b""
            kept.append(body)
            if body[0] in (code(Request.WRITE), code(Request.LAST)) and len(body) > 3:
                words = (len(body) - 3) // word_bytes(config.word_bits)
                open_words = 0 if body[0] == code(Request.LAST) else open_words + words


def random_request(rng, config, sequence, open_words, loads):
    kind = rng.choice(["peek", "read", "write", "unknown", "empty"], p=[0.15, 0.33, 0.44, 0.04, 0.04])
    if loads and rng.random() < 0.25:
        kind = "load"
    if kind == "peek":
        return body_of(Request.PEEK, sequence, [int(rng.integers(8))])
    if kind == "unknown":
        return body_of(int(rng.choice([0x20, 0x29, 0x33, 0x13])), sequence, rng.bytes(int(rng.integers(4))))
    if kind == "empty":
        return body_of(Request(int(rng.integers(2, 6))), sequence)
    if kind == "load":
        bits = config.columns * config.slot_bits
        words = [
            int.from_bytes(rng.bytes(8), "little") & (1 << bits) - 1 for _ in range(rng.integers(1, loads))
        ]
        return body_of(
            Request.LOAD, sequence, b"".join(word.to_bytes(word_bytes(bits), "little") for word in words)
        )
    if kind == "read":
        return body_of(Request.READ, sequence, [int(rng.integers(0, 4))])
    most = min(WORDS - open_words, WINDOW.payload // word_bytes(config.word_bits))
    count = int(rng.integers(1, most + 1))
    words = words_to_bytes(random_words(rng, count, config), config)
    return body_of(Request.LAST if open_words + count == WORDS else Request.WRITE, sequence, words)


def expected_responses(config, number, seed, loads):
    """Requests and what the model answers: (requests, responses, the model)."""
    rng = np.random.default_rng(seed)
    accelerator = ModelAccelerator(WORDS, lambda frame: [word ^ 1 for word in frame], REGISTERS, loads=loads)
    model = ModelBoard(accelerator, config.word_bits, config.columns * config.slot_bits, WINDOW)
    requests, responses = [], []
    generator = random_requests(rng, config, number, loads)
    request = next(generator)
    while True:
        requests.append(request)
        responses.append(model._answer(request))
        try:
            request = generator.send(responses[-1])
        except StopIteration:
            return requests, responses, model


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("pauses", "loads"), [(0.0, 0), (0.4, 0), (0.2, 5)])
def test_the_executor_answers_as_the_model_of_a_board_does(name, pauses, loads):
    config = CONFIGS[name]
    requests, responses, model = expected_responses(config, 200 if loads else 100, len(name), loads)
    bench = Bench(config, idle=pauses, busy=pauses, loads=loads, seed=7)
    assert bench.run(requests) == responses
    assert bench.accelerator.weights == model.accelerator.weights
    assert bool(model.accelerator.weights) == bool(loads)
    assert bench.accelerator.inferences == model.accelerator.inferences > 0
    statuses = {response and Status(response[0] & 15) for response in responses}
    assert statuses == {*Status, None}, "the requests lead to all answers"
    opened = [
        answer
        for body, answer in zip(requests, responses)
        if body is not None and body[0] == code(Request.OPEN)
    ]
    assert bench.resets == sum(answer is not None for answer in opened)


def requests_of(payloads):
    """OPEN and then requests with ascending numbers."""
    return [body_of(Request.OPEN, 0)] + [
        body_of(request, index + 1, payload) for index, (request, payload) in enumerate(payloads)
    ]


def test_words_that_stall_are_all_written():
    """Once a request was accepted, the executor waits for the accelerator within the frame."""
    config = CONFIGS["25 bits"]
    words = random_words(np.random.default_rng(0), 40, config)
    bench = Bench(config, words=40, stall=0.5, seed=3, window=LARGE)
    answers = bench.run(requests_of([(Request.LAST, words_to_bytes(words, config))]))
    assert answers[-1] == body_of(code(Status.OK), 1)
    assert list(bench.accelerator.results) == [word ^ 1 for word in words]


@pytest.mark.parametrize(("gaps", "busy"), [(0.3, False), (0.98, True)])
def test_a_read_waits_for_all_its_words_or_goes_on_where_it_was(gaps, busy):
    config = CONFIGS["64 bits"]
    words = random_words(np.random.default_rng(1), 20, config)
    bench = Bench(config, words=20, gaps=gaps, seed=4, window=SMALL)
    write = [
        (Request.WRITE, words_to_bytes(words[:10], config)),
        (Request.LAST, words_to_bytes(words[10:], config)),
    ]
    requests = requests_of(write)
    # Each read is asked for until it is there: those that come again are answered from the memory.
    requests += [
        body_of(Request.READ, number, [4]) for number in range(3, 8) for _ in range(30 if busy else 1)
    ]
    answers = bench.run(requests)[3:]
    done = {answer[1]: answer[3:] for answer in answers if answer[0] == code(Status.OK)}
    assert b"".join(done[number] for number in range(3, 8)) == words_to_bytes(
        [word ^ 1 for word in words], config
    )
    assert any(answer[0] == code(Status.BUSY) for answer in answers) == busy


@pytest.mark.parametrize("name", CONFIGS)
def test_a_read_returns_no_more_than_fits(name):
    config = CONFIGS[name]
    size = word_bytes(config.word_bits)
    fits = WINDOW.payload // size
    words = random_words(np.random.default_rng(2), 2 * fits, config)
    payload = words_to_bytes(words, config)
    bench = Bench(config, words=2 * fits)
    requests = [(Request.WRITE, payload[: fits * size]), (Request.LAST, payload[fits * size :])]
    answers = bench.run(requests_of([*requests, (Request.READ, b"\xff"), (Request.READ, b"\xff")]))
    result = words_to_bytes([word ^ 1 for word in words], config)
    assert [answer[3:] for answer in answers[3:]] == [result[: fits * size], result[fits * size :]]


def test_requests_without_their_payload_do_nothing():
    empty = [(request, b"") for request in (Request.PEEK, Request.WRITE, Request.LAST, Request.READ)]
    answers = Bench(CONFIGS["8 bits"]).run(
        requests_of([*empty, (Request.PEEK, b"\1\1"), (Request.READ, b"\0\1")])
    )
    assert answers[0] == body_of(code(Status.OK), 0, WINDOW.encode())
    assert answers[1:5] == [body_of(code(Status.OK), n) for n in range(1, 5)]
    assert answers[5:] == [
        body_of(code(Status.OK), 5, REGISTERS[1].to_bytes(4, "little")),
        body_of(code(Status.OK), 6),
    ]


def test_a_notice_of_damage_does_not_wait_for_the_requests_behind():
    """The damaged packet was the last of a window whose first is still being executed."""
    component, answers = LinkExecutor(CONFIGS["8 bits"], WINDOW, patience=PATIENCE), bytearray()

    async def host(ctx):
        ctx.set(component.responses.ready, 1)
        for body in (body_of(Request.OPEN, 7), body_of(Request.READ, 8, [1])):
            for index, byte in enumerate(body):
                ctx.set(component.packets.valid, 1)
                ctx.set(component.packets.payload, {"data": byte, "last": int(index == len(body) - 1)})
                ctx.set(component.damaged, int(body[0] == code(Request.READ) and index == 1))
                await ctx.tick().until(component.packets.ready)
            ctx.set(component.packets.valid, 0)
        ctx.set(component.damaged, 0)
        await ctx.tick().repeat(3 * PATIENCE)

    async def listen(ctx):
        while True:
            _, _, valid, beat = await ctx.tick().sample(
                component.responses.valid, component.responses.payload
            )
            if valid:
                answers.append(beat.data)

    simulate(component, host, background=[listen])
    opened = body_of(code(Status.OK), 7, WINDOW.encode())
    assert answers == opened + body_of(code(Status.BUSY), 8) + body_of(code(Status.DAMAGED), 7)


OUTSIDE = ArrayConfig(2, 2, external_bits=32, external_address_bits=7)


def test_a_session_is_open_once_the_accelerator_has_been_reset():
    """Before, what the host writes next would go into the one that is still at work."""
    bench = Bench(OUTSIDE, loads=5)
    link, asked, answered = bench.component, [], []

    async def resetting(ctx):
        now, until = 0, 0
        while True:
            if ctx.get(link.reset):
                asked.append(now)
                until = now + 500
            ctx.set(link.resetting, int(until > 0 and now < until))
            if ctx.get(link.responses.valid) and not answered:
                answered.append(now)
            await ctx.tick()
            now += 1

    (answer,) = bench.run([body_of(Request.OPEN, 3, b"abc")], resetting)
    assert answer == body_of(code(Status.OK), 3, b"abc" + WINDOW.encode())
    assert answered[0] - asked[0] > 500


@pytest.mark.parametrize("slow", [0.0, 0.9])
def test_beats_for_external_memory_wait_for_it(slow):
    beats = [int(beat) for beat in np.random.default_rng(2).integers(0, 1 << 32, 9)]
    executor = LinkExecutor(OUTSIDE, LARGE, patience=PATIENCE, loadable=True)
    body = body_of(Request.LOAD, 4, b"".join(beat.to_bytes(4, "little") for beat in beats))
    rng, taken, said = np.random.default_rng(5), [], []

    async def host(ctx):
        for request in (body_of(Request.OPEN, 3), body):
            for index, byte in enumerate(request):
                ctx.set(executor.packets.valid, 1)
                ctx.set(executor.packets.payload, {"data": byte, "last": int(index == len(request) - 1)})
                await ctx.tick().until(executor.packets.ready)
            ctx.set(executor.packets.valid, 0)
            await ctx.tick().repeat(100)

    async def memory(ctx):
        while True:
            ctx.set(executor.load.ready, int(rng.random() >= slow))
            _, _, valid, ready, beat = await ctx.tick().sample(
                executor.load.valid, executor.load.ready, executor.load.payload
            )
            if valid and ready:
                taken.append(beat)

    async def listen(ctx):
        ctx.set(executor.responses.ready, 1)
        while True:
            _, _, valid, beat = await ctx.tick().sample(executor.responses.valid, executor.responses.payload)
            if valid:
                said.append(beat.data)

    simulate(executor, host, background=[memory, listen])
    assert taken == beats
    assert bytes(said).endswith(body_of(code(Status.OK), 4))
