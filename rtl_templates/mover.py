"""The mover, which brings words from external memory, and back: a queue of moves, executed strictly in order."""

from collections.abc import Mapping
from functools import reduce

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import stream
from amaranth.lib.data import View
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.program.config import ArrayConfig
from hwquant.program.external import BURST
from hwquant.program.isa import QUEUE, MoveKind, moved_bits, program_bits
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.jobs import move_layout, tiles_bits
from hwquant.rtl_templates.ports import BASE_BITS, AxiMemoryPort, FillPort, ReadPort
from hwquant.rtl_templates.streams import StreamQueue


class Mover(Component):
    """The mover: it executes moves between external memory and the memories inside, one after the other.

    A move begins when all tiles issued before it are finished, and the addresses of the moves before it have been
    accepted. A store begins when the moves before it are complete, and what follows a store when that is complete.
    Bursts end where the address in beats is a multiple of :data:`~hwquant.program.external.BURST`, so they are within
    pages of 4 KiB. With ``b`` the cycle in which a move begins::

        address[0] >= b + 2                             offered
        address[k] = accepted[k-1] + 2                  offered
        b >= enqueued + 1, finished[tiles] + 1, accepted[last of the move before] + 1
        b >= enqueued + 2, complete[all before] + 1     of a store
        b >= complete[the store before] + 1             behind a store
        data[first] = b + 4                             of a store, offered; the others follow without a pause

    A word is written in the cycle after its last beat. The last of them makes the move complete, in that cycle; a store
    is complete in the cycle after its last response.

    Throughput: a beat a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Widths and depths.

    Members
    -------
    moves : In(stream.Signature(move_layout(config)))
        Moves, in order; there is room for :data:`~hwquant.program.isa.QUEUE` that are not complete.
    tiles : In(tiles_bits(config))
        Tiles that were issued before this cycle and not finished before it.
    finished : In(1)
        One of them is finished in this cycle.
    pending : Out(range(QUEUE + 1))
        Moves that are not complete.
    base : In(BASE_BITS)
        Where the accelerator's part of external memory begins, in units of 4 KiB.
    halt : In(1)
        No move begins.
    quiet : Out(1)
        No move is under way, unless one begins in this cycle.
    error : Out(1)
        A response in this cycle says that there was an error.
    weights : Out(FillPort(config.weight_depth, config.columns * config.slot_bits))
        Words for the weight memory.
    parameters : Out(FillPort(config.parameter_depth, config.parameter_bits))
        Words for the parameter memory.
    program : Out(FillPort(config.program_depth, program_bits(config)))
        Words for the program memory; only where it has halves.
    load : Out(FillPort(config.activation_depth, config.word_bits))
        Words for the activation memory; only where it has halves.
    read : Out(ReadPort(config))
        Address of a word that is stored; only where the activation memory has halves.
    reading : Out(1)
        A store is under way; only where the activation memory has halves.
    data : In(config.word_bits)
        That word, two advancing cycles later; only where the activation memory has halves.
    memory : Out(AxiMemoryPort(config.external_bits))
        The port to external memory.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        halves = {
            "load": Out(FillPort(config.activation_depth, config.word_bits)),
            "read": Out(ReadPort(config)),
            "reading": Out(1),
            "data": In(config.word_bits),
        }
        program = {"program": Out(FillPort(config.program_depth, program_bits(config)))}
        super().__init__(
            {
                "moves": In(stream.Signature(move_layout(config))),
                "tiles": In(tiles_bits(config)),
                "finished": In(1),
                "pending": Out(range(QUEUE + 1)),
                "base": In(BASE_BITS),
                "halt": In(1),
                "quiet": Out(1),
                "error": Out(1),
                "weights": Out(FillPort(config.weight_depth, config.columns * config.slot_bits)),
                "parameters": Out(FillPort(config.parameter_depth, config.parameter_bits)),
                "memory": Out(AxiMemoryPort(config.external_bits)),
            }
            | (program if config.program_half else {})
            | (halves if config.half_depth else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the queue, what issues addresses, and what takes the data."""
        m = Module()
        complete = Signal()
        begun = Signal()
        head, ready, settled = self._queue(m, begun, complete)
        stores = self.config.half_depth > 0
        current = Signal(move_layout(self.config), reset_less=True)
        valid = Signal()
        self._follow(m, current, valid, complete)
        storing = Signal()
        free: Value = ready & ~self.halt
        m.d.comb += self.quiet.eq(settled)
        if stores:
            # Alone: what is before a store is complete, and so is the store before what follows.
            alone = settled & valid
            free &= ~storing & ((head["kind"] != MoveKind.STORE) | alone)
        self._issue(m, head, free, begun, storing)
        written = self._receive(m, current)
        if stores:
            stored = self._store(m, head, begun, storing)
            m.d.comb += complete.eq(written | stored)
            m.d.comb += self.error.eq(
                self.memory.r.valid & self.memory.r.payload.resp.any()
                | self.memory.b.valid & self.memory.b.payload.resp.any()
            )
        else:
            m.d.comb += [
                complete.eq(written),
                self.error.eq(self.memory.r.valid & self.memory.r.payload.resp.any()),
            ]
        m.d.comb += self.memory.b.ready.eq(1)
        return m

    def _queue(self, m: Module, begun: Value, complete: Value) -> tuple[View, Value, Value]:
        """Build the queue.

        Returns
        -------
        head : View
            The move that is to begin.
        ready : Value
            There is one, and the tiles before it are finished.
        settled : Value
            All moves before it are complete.
        """
        layout = move_layout(self.config)
        self.entries = [Signal(layout, name=f"move{k}", reset_less=True) for k in range(QUEUE)]
        self.following = Signal(layout)
        tiles = [Signal(tiles_bits(self.config), name=f"tiles{k}", reset_less=True) for k in range(QUEUE)]
        tail, issue, unbegun = (
            Signal(range(QUEUE), name="tail"),
            Signal(range(QUEUE), name="issue"),
            Signal(range(QUEUE + 1), name="unbegun"),
        )
        pending = Signal(range(QUEUE + 1), name="incomplete")
        taken = self.moves.valid & self.moves.ready
        m.d.comb += [self.moves.ready.eq(pending != QUEUE), self.pending.eq(pending)]
        m.d.sync += [
            pending.eq(pending + taken - complete),
            unbegun.eq(unbegun + taken - begun),
            tail.eq(tail + taken),
            issue.eq(issue + begun),
        ]
        for k, (entry, left) in enumerate(zip(self.entries, tiles)):
            with m.If(taken & (tail == k)):
                m.d.sync += [entry.eq(self.moves.payload), left.eq(self.tiles - self.finished)]
            with m.Elif(self.finished & (left != 0)):
                m.d.sync += left.eq(left - 1)
        head = View(layout, Array([Value.cast(entry) for entry in self.entries])[issue])
        return head, (unbegun != 0) & (Array(tiles)[issue] == 0), unbegun == pending

    def _follow(self, m: Module, current: Signal, valid: Signal, complete: Value) -> None:
        """Keep the oldest move that is not complete in a register: its words are those that come."""
        done = Signal(range(QUEUE))
        following = Signal(range(QUEUE))
        m.d.comb += [
            following.eq(done + complete),
            Value.cast(self.following).eq(Array([Value.cast(entry) for entry in self.entries])[following]),
        ]
        m.d.sync += done.eq(following)
        with m.If(complete | ~valid):
            more = Mux(complete, self.pending > 1, self.pending != 0)
            m.d.sync += [valid.eq(more), current.eq(self.following)]

    def _beats(self, move: View) -> Value:
        """Beats of a move."""
        config = self.config
        widths = moved_bits(config)
        products = {kind: _times(move["count"], config.word_beats(bits)) for kind, bits in widths.items()}
        return _of_kind(products, move["kind"])

    def _issue(self, m: Module, head: View, free: Value, begun: Signal, storing: Signal) -> None:
        """Build what begins moves and offers the addresses of their bursts."""
        memory = self.memory
        address = Signal(self.config.external_address_bits, reset_less=True)
        left = Signal(max(BURST.bit_length(), len(self._beats(head))), name="beats", reset_less=True)
        length = Signal(range(BURST + 1), reset_less=True)
        last = Signal(reset_less=True)
        idle = Signal(init=1)
        offering = Signal()
        m.d.comb += begun.eq(idle & free)
        with m.If(begun):
            m.d.sync += [idle.eq(0), address.eq(head["external"]), left.eq(self._beats(head))]
        # Where left beats end, counted from the last multiple of a burst; beats go on from the next one.
        inside = BURST.bit_length() - 1
        low, above, end = Signal(inside), left[inside:], Signal(inside + 1)
        m.d.comb += [low.eq(address), end.eq(left[:inside] + low)]
        fits = (above == 0) & (end <= BURST) | (left == BURST) & (low == 0)
        with m.If(~idle & ~offering):
            m.d.sync += [offering.eq(1), last.eq(fits), length.eq(Mux(fits, left[: inside + 1], ~low + 1))]
        accepted = Signal()
        byte = Signal(32)
        pages = max(0, len(address) + (self.config.external_bits // 8).bit_length() - 1 - 12)
        page = Signal(pages + 1)
        m.d.comb += page.eq(self.base[:pages] + byte[12 : 12 + pages])
        rest = self.base[pages:]
        target = Cat(byte[:12], page[:pages], Mux(page[pages], rest + 1, rest)[: len(rest)])
        m.d.comb += byte.eq(address * (self.config.external_bits // 8))
        for port, mine in ((memory.ar, ~storing), (memory.aw, storing)):
            m.d.comb += [
                port.valid.eq(offering & mine),
                port.payload.address.eq(target),
                port.payload.length.eq(length - 1),
            ]
        m.d.comb += accepted.eq(offering & Mux(storing, memory.aw.ready, memory.ar.ready))
        with m.If(accepted):
            m.d.sync += [
                offering.eq(0),
                idle.eq(last),
                address.eq(Cat(Const(0, inside), address[inside:] + 1)),
                left.eq(Cat(end[:inside], Mux(end[inside], above, above - 1)[: len(above)])),
            ]
        if self.config.half_depth:
            unanswered = Signal(left.shape())
            m.d.sync += unanswered.eq(unanswered + (accepted & storing) - memory.b.valid)
            self._answered = idle & (unanswered == 0)

    def _store(self, m: Module, head: View, begun: Value, storing: Signal) -> Value:
        """Build what reads words and sends their beats; tell whether all of a store has been answered."""
        config, memory = self.config, self.memory
        beats = config.word_beats(config.word_bits)
        m.submodules.leaving = leaving = StreamQueue(memory.w.payload.shape())
        address = Signal(config.activation_address_bits, name="source", reset_less=True)
        left = Signal(move_layout(config)["count"].shape, name="words")
        place = Signal(range(BURST), reset_less=True)
        beat = Signal(index_bits(beats))
        fetched, valid = Signal(), Signal(name="there")
        parts = Array(
            self.data[start : start + config.external_bits]
            for start in range(0, config.word_bits, config.external_bits)
        )
        ends, complete = Signal(), Signal()
        m.d.comb += [
            ends.eq(beat == beats - 1),
            leaving.i.valid.eq(valid),
            leaving.i.payload.data.eq(parts[beat] if beats > 1 else self.data),
            leaving.i.payload.last.eq((place == BURST - 1) | (ends & ~fetched & (left == 0))),
            self.reading.eq(storing),
            self.read.address.eq(address),
            self.read.advance.eq(~valid | (leaving.i.ready & ends)),
            complete.eq(storing & self._answered),
        ]
        connect(m, leaving.o, flipped(memory.w))
        with m.If(valid & leaving.i.ready):
            m.d.sync += [beat.eq(Mux(ends, 0, beat + 1)), place.eq(place + 1)]
        with m.If(self.read.advance):
            m.d.sync += [fetched.eq(left != 0), valid.eq(fetched), address.eq(address + 1)]
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
        with m.If(complete):
            m.d.sync += storing.eq(0)
        with m.If(begun & (head["kind"] == MoveKind.STORE)):
            m.d.sync += [
                storing.eq(1),
                address.eq(head["address"]),
                left.eq(head["count"]),
                place.eq(head["external"]),
            ]
        return complete

    def _receive(self, m: Module, current: Signal) -> Value:
        """Build what makes words of beats and writes them; tell whether it writes the last word of a move."""
        config, memory = self.config, self.memory
        ports = {MoveKind.WEIGHTS: self.weights, MoveKind.PARAMETERS: self.parameters}
        if config.half_depth:
            ports[MoveKind.LOAD] = self.load
        if config.program_half:
            ports[MoveKind.PROGRAM] = self.program
        kinds = {kind: (port, moved_bits(config)[kind]) for kind, port in ports.items()}
        most = max(config.word_beats(bits) for _, bits in kinds.values())
        word = Signal(most * config.external_bits, reset_less=True)
        beat = Signal(index_bits(most))
        whole = Signal()
        done = Signal(move_layout(config)["count"].shape)
        final = Signal()
        end = Signal(index_bits(most))
        # The first beat of a move may come as the last word of the one before is written.
        kind = Mux(final, self.following["kind"], current["kind"])
        ends = {number: config.word_beats(bits) - 1 for number, (_, bits) in kinds.items()}
        m.d.comb += [memory.r.ready.eq(1), end.eq(_of_kind(ends, kind))]
        m.d.sync += whole.eq(0)
        with m.If(memory.r.valid):
            m.d.sync += [
                word.word_select(beat, config.external_bits).eq(memory.r.payload.data),
                whole.eq(beat == end),
                beat.eq(Mux(beat == end, 0, beat + 1)),
            ]
        for kind, (port, bits) in kinds.items():
            m.d.comb += [
                port.enable.eq(whole & (current["kind"] == kind)),
                port.address.eq(current["address"][: len(port.address)] + done[: len(port.address)]),
                port.data.eq(word[:bits]),
            ]
        m.d.comb += final.eq(whole & (done + 1 == current["count"]))
        with m.If(whole):
            m.d.sync += done.eq(Mux(final, 0, done + 1))
        return final

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The queue, the address of the next burst, and the word that beats become."""
        move, tiles = move_layout(config), tiles_bits(config)
        widths = [bits for kind, bits in moved_bits(config).items() if kind is not MoveKind.STORE]
        words, most = move["count"].width, max(config.word_beats(bits) for bits in widths)
        beats = max(BURST.bit_length(), words + (most - 1).bit_length())
        word, pointer = most * config.external_bits, index_bits(QUEUE)
        own = config.word_beats(config.word_bits)
        store = {
            "answers": beats,
            "source": config.activation_address_bits + words,
            "leaving": index_bits(BURST) + index_bits(own) + 3,
        }
        return Facts(
            registers={
                "queue": QUEUE * (move.size + tiles),
                "pointers": 3 * pointer + 2 * (pointer + 1),
                "current": move.size + 1,
                "burst": config.external_address_bits + beats + BURST.bit_length() + 3,
                "word": word + index_bits(most) + 1 + words,
            }
            | (store if config.half_depth else {}),
            adders={"external": config.external_address_bits + 32, "beats": 2 * beats, "words": 2 * words},
            muxes={"head": 2 * (QUEUE - 1) * move.size, "beats": beats * (len(widths) - 1)},
            gates={"control": 1, "queue": QUEUE * tiles},
            inside=[Inside("leaving", StreamQueue.facts(config.external_bits + 1))]
            if config.half_depth
            else [],
        )


def _times(value: Value, factor: int) -> Value:
    """Multiply by a positive constant with adders: synthesis would spend a DSP block that the array counts on."""
    bits = len(value) + (factor - 1).bit_length()
    places = (place for place in range(factor.bit_length()) if factor >> place & 1)
    shifted = (Cat(Const(0, place), value, Const(0, bits - place - len(value))) for place in places)
    return reduce(lambda one, other: (one + other)[:bits], shifted)


def _of_kind(values: Mapping[MoveKind, ValueLike], kind: Value) -> Value:
    """Choose the value of a kind of move; those of kinds that are not there do not matter."""
    first = values[MoveKind.WEIGHTS]
    listed = [values.get(MoveKind(number), first) for number in range(max(values) + 1)]
    return Array(listed)[kind[: index_bits(len(listed))]]
