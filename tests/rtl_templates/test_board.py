"""The board's top in Amaranth's simulator, bit by bit; tests/sim/test_board.py runs whole inferences."""

from hwquant_testing.clocked import simulate
from hwquant_testing.small_networks import Net

from hwquant.link.protocol import LARGE, VERSION, Decoder, Request, Status, encode
from hwquant.program.compiler import compile_network
from hwquant.program.registers import Register
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.build import accelerator

DIVISOR = 4


def line(data):
    """Bytes as levels, one a cycle."""
    bits = [bit for byte in data for bit in [0, *(byte >> n & 1 for n in range(8)), 1]]
    return [bit for bit in bits for _ in range(DIVISOR)]


def bytes_of(levels):
    """The inverse: every byte begins at a falling edge."""
    data, position = bytearray(), 0
    while 0 in levels[position:]:
        position = levels.index(0, position)
        bits = levels[position + DIVISOR // 2 :: DIVISOR][1:9]
        data.append(sum(bit << n for n, bit in enumerate(bits)))
        position += 10 * DIVISOR
    return bytes(data)


def answer(status, sequence, payload=b""):
    return bytes([VERSION << 4 | status, sequence, 0, *payload])


def packet(request, sequence, payload=b""):
    return encode(bytes([VERSION << 4 | request, sequence, 0, *payload]))


def test_requests_on_the_line_are_answered_on_the_line():
    net = Net(x=(2, 2, 2))
    net.conv("x", 2)
    program = compile_network(net.build(), (2, 2))
    board = SerialAccelerator(accelerator(program), DIVISOR)
    requests = [
        packet(Request.PEEK, 0, [Register.CHECKSUM]),
        packet(Request.OPEN, 7, b"nonce"),
        packet(Request.PEEK, 8, [Register.CHECKSUM]),
        packet(Request.LAST, 9, bytes(2 * program.inputs[0].words))
        + packet(Request.READ, 10, [program.outputs[0].words])
        + packet(Request.PEEK, 11, [Register.INFERENCES]),  # three on their way
    ]
    levels, opened, active = [], [], 0

    async def host(ctx):
        nonlocal active
        for request in requests:
            for level in line(request) + [1] * 60 * 10 * DIVISOR:
                ctx.set(board.rx, level)
                levels.append(ctx.get(board.tx))
                active += ctx.get(board.active)
                await ctx.tick()
            opened.append(ctx.get(board.opened))

    simulate(board, host)
    results = program.outputs[0].words * 2
    responses = list(Decoder().feed(bytes_of(levels)))
    assert responses[:4] == [
        answer(Status.CLOSED, 0),
        answer(Status.OK, 7, b"nonce" + LARGE.encode()),
        answer(Status.OK, 8, program.checksum.to_bytes(4, "little")),
        answer(Status.OK, 9),
    ]
    assert responses[4][:3] == answer(Status.OK, 10)
    assert len(responses[4][3:]) == results > 0
    assert responses[5:] == [answer(Status.OK, 11, bytes([1, 0, 0, 0]))]
    assert opened == [0, 1, 1, 1]
    assert 0 < active < len(levels)
