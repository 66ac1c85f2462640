"""Programs that move words of the activation memory outside and back, made of programs that do not."""

from dataclasses import replace

from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.isa import Instruction, MoveKind, Opcode, encode, fields
from hwquant.program.sizing import Requirements


def halved(qgraph, array, bits):
    """A network that lies in the second half of the activation memory, whose outputs go outside and come back.

    Its input comes in two pieces, between which the first one is stored; and words are loaded while layers run.
    """
    requirements = Requirements(array, external=ExternalMemory(bits), limits={"weight_depth": 40})
    compilation = Compilation(qgraph, lowered_network(qgraph), requirements)
    program = compilation.program
    half = 1 << program.config.activation_address_bits
    beats = len(program.external_image)
    scratch = -(-beats // 64) * 64 + 5
    places = (*program.inputs, *program.outputs)
    room = scratch + 2 * sum(item.words for item in places) * program.config.word_beats(
        program.config.word_bits
    )
    values = vars(program.config) | {
        "activation_depth": 2 * half,
        "half_depth": half,
        "external_address_bits": room.bit_length(),
        "program_depth": len(program.words) + 60,
    }
    config = ArrayConfig(**values)

    def move(kind, address, count, external):
        yield Instruction(Opcode.EXTERNAL, {"address": external})
        yield Instruction(Opcode.MOVE, {"kind": int(kind), "address": address, "count": count})

    code = []
    for item in compilation.emitted:
        place = item.values.get("address", 0)
        if item.opcode in (Opcode.WRITE, Opcode.TILE):
            code.append(Instruction(item.opcode, {**item.values, "address": place + half}))
        elif item.opcode is Opcode.INPUT and item.values["count"] > 1:
            first = item.values["count"] // 2
            piece = {**item.values, "address": place + half, "count": first, "last": 0}
            rest = {
                **item.values,
                "address": place + half + first,
                "count": item.values["count"] - first,
            }
            code.append(Instruction(Opcode.INPUT, piece))
            code += move(MoveKind.STORE, place + half, first, scratch)
            code.append(
                Instruction(Opcode.WAIT, {"moves": 0})
            )  # so that no time depends on when the host is there
            code.append(Instruction(Opcode.INPUT, rest))
            code += move(MoveKind.LOAD, 0, first, scratch)
            code.append(Instruction(Opcode.WAIT, {"moves": 1}))  # the array reads what is stored
        elif item.opcode is Opcode.OUTPUT:
            count = item.values["count"]
            code += move(MoveKind.STORE, place + half, count, scratch)
            code += move(MoveKind.LOAD, half - count, count, scratch)
            code.append(Instruction(Opcode.WAIT, {"moves": 0}))
            code.append(Instruction(Opcode.OUTPUT, {**item.values, "address": half - count}))
        else:
            code.append(item)
    shifted = {
        name: [replace(item, address=item.address + half) for item in getattr(program, name)]
        for name in ("inputs", "outputs")
    }
    return replace(
        program,
        config=config,
        words=tuple(encode(item, fields(config)) for item in code),
        inputs=tuple(shifted["inputs"]),
        outputs=tuple(shifted["outputs"]),
        tensors={k: replace(v, address=v.address + half) for k, v in program.tensors.items()},
    )
