"""Claims of the mover's port: the rules of AXI4 for who asks."""

from __future__ import annotations

from amaranth.hdl import Value
from amaranth.lib.data import View

from hwquant.program.config import ArrayConfig
from hwquant.program.external import BURST
from hwquant.program.isa import QUEUE, moved_bits
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.streams import holds_still
from hwquant.rtl_templates.jobs import move_layout
from hwquant.rtl_templates.mover import Mover
from hwquant.rtl_templates.ports import BASE_BITS


def bursts(config: ArrayConfig, name: str) -> Claim:
    """Bursts are offered as AXI4 wants, and end where they should."""
    beat = config.external_bits // 8

    def build(harness: Harness) -> None:
        component = Mover(config)
        dut = harness.component(component, base=harness.symbol("base", BASE_BITS))
        layout = move_layout(config)
        harness.assume(dut.moves.payload.count != 0)  # as the compiler writes moves
        idle, offering = harness.inside("idle"), harness.inside("offering")
        length, left = (
            harness.inside("length", BURST.bit_length()),
            harness.inside("beats", _beats_bits(config)),
        )
        address = harness.inside("address", config.external_address_bits)
        issue, unbegun = harness.inside("issue", range(QUEUE)), harness.inside("unbegun", range(QUEUE + 1))
        tail, pending = harness.inside("tail", range(QUEUE)), harness.inside("incomplete", range(QUEUE + 1))
        harness.lemma(tail == (issue + unbegun)[: len(tail)])
        harness.lemma((unbegun <= QUEUE) & (unbegun <= pending))
        for k in range(QUEUE):
            entry = View(layout, harness.inside(f"move{k}", layout.size))
            waits = (k - issue)[: len(issue)] < unbegun
            harness.lemma(~waits | (entry["count"] != 0))
        harness.lemma(~(idle & offering))
        harness.lemma(idle | (left != 0))
        harness.lemma(~offering | ((length != 0) & (length + address[: BURST.bit_length() - 1] <= BURST)))
        low = address[: BURST.bit_length() - 1]
        last = harness.inside("last")
        harness.lemma(~offering | (last == (length == left)))
        harness.lemma(~offering | last | ((length < left) & (length + low == BURST)))
        # The memory answers only what it was asked for.
        harness.assume(~harness.inside("complete") | (pending > unbegun))
        port = dut.memory.ar
        holds_still(harness, port)
        place = (Value.cast(port.payload.address) >> (beat.bit_length() - 1))[: BURST.bit_length() - 1]
        harness.always(~port.valid | (place + port.payload.length + 1 <= BURST))
        harness.always(~port.valid | (port.payload.address[: beat.bit_length() - 1] == 0))
        harness.always(dut.pending <= QUEUE)

    return Claim(
        f"Mover: bursts of {name}",
        f"an address is offered until it is taken, unchanged; a burst stays within {BURST} beats and what they are "
        f"aligned to, so within 4 KiB; no more than {QUEUE} moves are incomplete. Given that no move completes before "
        "it has begun",
        build,
        Method.INDUCTION,
        2,
        # What a move waits for, and where its words go.
        aside=(
            *(f"move{k}" for k in range(QUEUE)),
            *(f"tiles{k}" for k in range(QUEUE)),
            *("tail", "current", "valid", "done", "beat", "whole", "last", "beats"),
        ),
    )


def _beats_bits(config: ArrayConfig) -> int:
    """Width of the beats that a move has left."""
    most = max(config.word_beats(bits) for bits in moved_bits(config).values())
    return max(BURST.bit_length(), move_layout(config)["count"].width + most.bit_length())


CLAIMS = (
    bursts(
        ArrayConfig(
            *(2, 2),
            activation_depth=8,
            weight_depth=64,
            parameter_depth=16,
            accumulator_depth=4,
            external_bits=64,
            external_address_bits=10,
        ),
        "64 bits, loads only",
    ),
)
"""A port of 64 bits."""
