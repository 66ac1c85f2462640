"""The systolic array: processing elements, the skew of its edges, and the input-sum column."""

from collections.abc import Mapping
from dataclasses import replace

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.array_shape import ACCUMULATE_HAZARD, TAP_COLUMNS
from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.delay import Skew, check_latency, delayed
from hwquant.rtl_templates.dsp import DspBudget, Multiplier
from hwquant.rtl_templates.elements import appended_bit, element_facts, is_pair, multipliers_of, span_of
from hwquant.rtl_templates.facts import Facts, Inside, Product
from hwquant.rtl_templates.pe import ProcessingElement
from hwquant.rtl_templates.ports import WeightPort, array_rows
from hwquant.rtl_templates.products import product_columns
from hwquant.rtl_templates.taps import TapLines


class SystolicArray(Component):
    """The systolic array: ``rows`` x ``columns`` processing elements.

    ::

        sums[c] = Sum_r weight[r, c] * x[r]                           without a sum column
        sums[c] = Sum_r weight[r, c] * x[r] + offset[c] * Sum_r x[r]  with one

    Weights shift down the shadow registers, the bottom row first. Row ``r`` is told to shift only once its
    word can have come that far (``load`` is a thermometer), and the swap to the new weights travels with the
    activations; so loading may begin with the first pixel of the tile before.

    With the offset in the sum column ("sum"), the array keeps raw weights. A column of adders on the left
    sums the inputs; below the array one multiplier scales that sum by the layer's offset, or, with channel
    offsets, a last row of processing elements does so by each channel's, loaded as one more weight row.

    With ``config.tap_lines``, a tile may be depthwise: pixels enter the first rows from above, lane ``c`` into
    column ``c``, and row ``TAP_COLUMNS * line + k`` multiplies the stream of kernel row ``line`` while the sum
    of one output moves down at one row a cycle. So a column is a filter over a whole kernel.

    Throughput: one vector of ``x`` and one of ``sums`` a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape, widths and modes.
    number : int
        Number of the array, of several ones that are alike but for what multiplies in them.

    Attributes
    ----------
    latency : int
        Cycles from ``x`` to the sum of column 0: a register a row, the rest of a processing element, and one more
        with the offset in the sum column. The sum of column ``c`` is ``c`` cycles later.

    Members
    -------
    x : In(ArrayLayout)
        Activations of the ``rows`` rows, each ``signed(config.activation_bits)``.
    swap : In(1)
        The activations in ``x`` are the first ones of a tile.
    weights : In(WeightPort)
        Weights, and which rows shift; see also :class:`~hwquant.rtl_templates.segments.Segments`.
    offset : In(signed(config.offset_bits))
        Offset of the layer, sampled with ``swap``; used with a sum column without channel offsets only.
    taps : In(1)
        The activations in ``x`` belong to a depthwise tile.
    delay : In(index_bits(config.tap_depth + 1))
        Cycles from kernel row to kernel row, with ``x``; see :class:`~hwquant.rtl_templates.taps.TapLines`.
    sums : Out(ArrayLayout)
        Sums of the ``columns`` columns, each ``signed(config.column_bits)``, skewed.
    lanes : Out(ArrayLayout)
        The first activations in ``x``, each later by a cycle than the one before: of the columns whose products with
        other activations are made beside the array. Only where these have them from here (:func:`shares_lanes`).
    """

    def __init__(self, config: ArrayConfig, number: int = 0):
        self.config = config
        self.number = number
        self.chain = array_rows(config)
        self.offset_row = self.chain > config.rows
        below = ProcessingElement.step if config.offset == "sum" else 0
        element = ProcessingElement.operand_latency + config.product_stages + ProcessingElement.sum_latency
        self.latency = (config.rows - 1) * ProcessingElement.step + element + below
        lanes = ArrayLayout(signed(config.activation_bits), product_columns(config))
        super().__init__(
            {
                "x": In(ArrayLayout(signed(config.activation_bits), config.rows)),
                "swap": In(1),
                "weights": In(WeightPort(config)),
                "offset": In(signed(config.offset_bits)),
                "taps": In(1),
                "delay": In(index_bits(config.tap_depth + 1)),
                "sums": Out(ArrayLayout(signed(config.column_bits), config.columns)),
            }
            | ({"lanes": Out(lanes)} if shares_lanes(config) else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the processing elements, and what skews, delays and sums at their edges.

        Parameters
        ----------
        platform : object
            A :class:`~hwquant.rtl_templates.dsp.DspBudget` says what multiplies; anything else leaves it to synthesis.

        Returns
        -------
        Module
            The circuit.
        """
        m = Module()
        config, rows, columns = self.config, self.config.rows, self.config.columns

        multipliers = multipliers_of(config, platform, self.number)
        span = span_of(multipliers)
        m.submodules.skew_x = skew_x = Skew(signed(config.activation_bits), rows, early=span > 1)
        m.submodules.skew_weight = skew_weight = Skew(signed(config.carried_bits), columns, span=span)
        m.d.comb += [getattr(skew_x, f"i{r}").eq(self.x[r]) for r in range(rows)]
        m.d.comb += [getattr(skew_weight, f"i{c}").eq(self.weights.weight[c]) for c in range(columns)]
        swaps = [self.swap]
        for r in range(1, self.chain + 1):
            swaps.append(delayed(m, swaps[-1], 1, name=f"swap_row{r}", reset_less=False))

        marks = list(swaps)
        if shares_lanes(config):
            m.d.comb += [self.lanes[c].eq(getattr(skew_x, f"o{c}")) for c in range(product_columns(config))]

        # What enters each row from the left: a lane of x, and the sum of all of them for the offset row.
        left = [getattr(skew_x, f"o{r}") for r in range(rows)]
        if config.offset == "sum":
            left.append(self._input_sum(m, left))

        shared = [f"early{c}" if c % span else f"o{c}" for c in range(min(rows, columns))]
        modes, lines = self._tap_lines(m, [getattr(skew_x, name) for name in shared])
        entries, enters = self._entries(m, span)
        loads = self.weights.load
        above = [getattr(skew_weight, f"o{c}") for c in range(columns)]
        sums: list[Value] = [Const(0, signed(1))] * columns
        elements: dict[tuple[int, int], ProcessingElement] = {}
        for c in range(columns):
            begins, ends = c % span == 0, c % span == span - 1
            if c and begins:
                loads = delayed(m, loads, span, name=f"load_column{c}", reset_less=False)
            for r in range(self.chain):
                pe = self._element(multipliers[r][c], r, len(left[r]), len(sums[c]))
                m.submodules[f"pe_{r}_{c}"] = elements[r, c] = pe
                x = left[r]
                if r < len(modes):
                    x = Mux(modes[r], lines[r // TAP_COLUMNS][c], x)
                    if ends:
                        modes[r] = delayed(m, modes[r], span, name=f"taps_{r}_{c}", reset_less=False)
                m.d.comb += [
                    pe.x.eq(x),
                    pe.swap.eq(swaps[r]),
                    pe.weight.eq(Mux(enters[r][c], entries[r][c], above[c]) if r in entries else above[c]),
                    pe.load.eq(loads[r]),
                    pe.sum.eq(sums[c]),
                ]
                above[c], sums[c] = pe.weight_next, pe.sum_next
                if ends and c + 1 < columns:
                    left[r] = delayed(m, pe.x_next, span - 1, name=f"x_{r}_{c}")
                    swaps[r] = delayed(m, pe.swap_next, span - 1, name=f"swap_{r}_{c}", reset_less=False)
        self._pairs(m, multipliers, elements)
        sums = [delayed(m, value, c % span, name=f"late{c}") for c, value in enumerate(sums)]
        if config.offset == "sum" and not self.offset_row:
            sums = self._add_offset(m, left[rows], marks, sums)
        m.d.comb += [self.sums[c].eq(sums[c]) for c in range(columns)]
        return m

    def _element(self, multiplier: Multiplier, row: int, x_bits: int, sum_bits: int) -> ProcessingElement:
        """Make a processing element."""
        config = self.config
        paired = is_pair(multiplier)
        return ProcessingElement(
            activation_bits=x_bits,
            operand_bits=config.operand_bits,
            sum_bits=sum_bits,
            next_bits=config.sum_bits(row + 1) if row < config.rows else config.column_bits,
            product=None if is_pair(multiplier) else multiplier,
            paired=paired,
            appended=appended_bit(config, row),
            stages=config.product_stages,
        )

    def _pairs(
        self,
        m: Module,
        multipliers: list[list[Multiplier]],
        elements: Mapping[tuple[int, int], ProcessingElement],
    ) -> None:
        """Build the products of elements that share them."""
        for (row, column), first in elements.items():
            multiplier = multipliers[row][column]
            if column % 2 or not is_pair(multiplier):
                continue
            pair = multiplier(len(first.x), self.config.operand_bits, appended_bit(self.config, row))
            m.submodules[f"pair_{row}_{column}"] = pair
            check_latency(f"the product {type(pair).__name__}", pair.latency, first.product_latency)
            m.d.comb += [pair.x.eq(first.x), pair.swap.eq(first.swap)]
            for n, element in enumerate((first, elements[row, column + 1])):
                m.d.comb += [
                    pair.weights[n].eq(element.weight_next),
                    element.product.eq(pair.products[n]),
                ]

    def _entries(self, m: Module, span: int) -> tuple[dict[int, list[Signal]], dict[int, list[Signal]]]:
        """The weights that enter at inner rows, and whether to take them: by row, for each column, skewed."""
        entries: dict[int, list[Signal]] = {}
        enters: dict[int, list[Signal]] = {}
        for index, row in enumerate(self.config.entries):
            shape = signed(self.config.entry_bits(row))
            m.submodules[f"skew_weight{row}"] = skew = Skew(shape, self.config.columns, span=span)
            enter, entries[row], enters[row] = self.weights.entries.enter[index], [], []
            for c in range(self.config.columns):
                if c and c % span == 0:
                    enter = delayed(m, enter, span, name=f"enter{row}_column{c}")
                m.d.comb += getattr(skew, f"i{c}").eq(getattr(self.weights.entries, f"weight{row}")[c])
                entries[row].append(getattr(skew, f"o{c}"))
                enters[row].append(enter)
        return entries, enters

    def _tap_lines(self, m: Module, lanes: list[Signal]) -> tuple[list[Signal], list[Signal]]:
        """Build the line memories of depthwise tiles.

        Returns
        -------
        modes : list of Signal
            For each row that a depthwise tile uses, whether its pixels come from above.
        lines : list of Signal
            For each kernel row, its stream of pixels.
        """
        config = self.config
        if not config.tap_lines:
            return [], []
        m.submodules.tap_lines = taps = TapLines(config)
        m.d.comb += [taps.delay.eq(self.delay), *(taps.i[c].eq(lane) for c, lane in enumerate(lanes))]
        modes = [self.taps]
        for r in range(1, config.tap_lines * TAP_COLUMNS):
            modes.append(delayed(m, modes[-1], 1, name=f"taps_row{r}", reset_less=False))
        return modes, [getattr(taps, f"line{k}") for k in range(config.tap_lines)]

    def _input_sum(self, m: Module, left: list[Signal]) -> Signal:
        """Build the column of adders: a register a row, so that the total enters below the last row on time."""
        total = None
        for r, x in enumerate(left):
            register = Signal(signed(self.config.input_sum_bits), name=f"input_sum{r}", reset_less=True)
            m.d.sync += register.eq(x if total is None else total + x)
            total = register
        return total

    def _add_offset(self, m: Module, total: Signal, swaps: list[Signal], sums: list[Value]) -> list[Value]:
        """Build one multiplier; its product, ``offset * total``, travels along the columns and adds to each."""
        config, value = self.config, self.offset
        for r in _offset_rows(config):
            name = "entered" if not r else "offset" if r == config.rows else f"entered{r}"
            register = Signal(self.offset.shape(), name=name, reset_less=True)
            with m.If(swaps[r]):
                m.d.sync += register.eq(value)
            value = register
        offset = value
        operand = delayed(m, total, 1, name="offset_operand")
        # "keep" as in the processing element.
        shape = signed(len(operand) + len(offset))
        multiplied = Signal(shape, name="offset_multiplied", reset_less=True, attrs={"keep": 1})
        m.d.sync += multiplied.eq(operand * offset)
        product = delayed(m, multiplied, config.product_stages - 1, name="product")
        corrected: list[Value] = []
        for c, value in enumerate(sums):
            if c:
                product = delayed(m, product, 1, name=f"product_column{c}")
            result = Signal(signed(self.config.column_bits), name=f"corrected{c}", reset_less=True)
            m.d.sync += result.eq(value + product)
            corrected.append(result)
        return corrected

    @staticmethod
    def facts(config: ArrayConfig, budget: DspBudget | None = None, number: int = 0) -> Facts:
        """What the array is made of.

        Parameters
        ----------
        config : ArrayConfig
            Shape, widths and modes.
        budget : DspBudget or None
            What ``elaborate`` gets as its platform.
        number : int
            Number of the array, of several.

        Returns
        -------
        Facts
            What the array has itself, and what is inside.
        """
        rows, columns, bits = config.rows, config.columns, config.activation_bits
        chain, depthwise = array_rows(config), TAP_COLUMNS * config.tap_lines
        entered = columns * sum(config.entry_bits(row) for row in config.entries)
        multipliers = multipliers_of(config, budget, number)
        span = span_of(multipliers)
        hops = (
            columns - 1 - (columns - 1) % span
        )  # registers of what travels from the first column to the last
        x_bits = [config.input_sum_bits if row == rows else bits for row in range(chain)]
        inside = [Inside("skew_x", Skew.facts(bits, rows))]
        inside += [Inside("skew_weight", Skew.facts(config.carried_bits, columns, span))]
        inside += [
            Inside("skew_weight", Skew.facts(config.entry_bits(row), columns, span)) for row in config.entries
        ]
        inside += [Inside("tap_lines", TapLines.facts(config))] if depthwise else []
        bottom = config.sum_bits(rows) if chain == rows else config.column_bits
        own = Facts(
            registers={
                "swaps": chain,
                "loads": hops * chain,
                "enter": hops * len(config.entries),
                "taps": depthwise * (columns - columns % span + 1) - 1 if depthwise else 0,
                "between pairs": (span - 1) * (hops // span) * sum(width + 1 for width in x_bits),
                "late": columns // 2 * bottom if span > 1 else 0,
            },
            muxes={"taps": depthwise * columns * bits, "entries": entered},
            gates={"loads": chain * columns},
            inside=inside + element_facts(config, multipliers),
        )
        return _with_sum_column(own, config) if config.offset == "sum" else own


def shares_lanes(config: ArrayConfig) -> bool:
    """Whether there are products of two activations whose lanes are those of the rows."""
    return config.product_bits > 0 and config.reads_per_word == 1


def _offset_rows(config: ArrayConfig) -> list[int]:
    """The rows at which the layer's offset is handed down with the swap mark.

    They are the first one, the row below the last, and between them one for each tile that may be inside at once, so
    that the next tile may bring another offset.
    """
    closest = max(config.segment_rows(config.load_rows), ACCUMULATE_HAZARD)
    return [*range(0, config.rows, closest), config.rows]


def _with_sum_column(array: Facts, config: ArrayConfig) -> Facts:
    """An array with the sum of its inputs.

    Without an offset row to multiply that sum by each channel's offset, there is one product with the layer's.
    """
    registers = {**array.registers, "input sum": config.rows * config.input_sum_bits}
    adders = {"input sum": config.rows * config.input_sum_bits}
    if config.channel_offsets:
        return replace(array, registers=registers, adders=adders)
    product = config.input_sum_bits + config.offset_bits
    registers |= {
        "offsets": len(_offset_rows(config)) * config.offset_bits + config.input_sum_bits,
        "offset products": (config.columns + config.product_stages - 1) * product,
        "corrected": config.columns * config.column_bits,
    }
    adders["offset"] = config.columns * config.column_bits
    products = [Product(config.input_sum_bits, config.offset_bits)]
    return replace(array, registers=registers, adders=adders, products=products)
