"""Multipliers as blocks of a device, where its synthesis would leave their registers outside."""

from amaranth.hdl import ClockSignal, Const, Instance, Module, signed
from amaranth.lib.wiring import Component, In, Out

MULTIPLIER_BITS = 18


class Platform:
    """What components ask of the device that they are elaborated for. This one has nothing of its own.

    ``product`` is a component that replaces the registered multiplication of a processing element.
    """

    product: type[Component] | None = None


class Ecp5Product(Component):
    """The registered product of a processing element in one MULT18X18D, with the registers of both operands.

    ::

        active  <= weight                 when swap
        product <= previous x * active

    Yosys infers the multiplier alone, so that signals leave registers, cross the device, pass the multiplier and
    cross it again within a cycle.

    Members
    -------
    x : In, weight, swap : In, as of the processing element; product : Out
    """

    def __init__(self, x_bits: int, weight_bits: int):
        super().__init__(
            {
                "x": In(signed(x_bits)),
                "weight": In(signed(weight_bits)),
                "swap": In(1),
                "product": Out(signed(x_bits + weight_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = {"INPUTA": "CE0", "INPUTB": "CE1", "OUTPUT": "CE0"}
        ports: dict[str, object] = {}
        for name, enable in registers.items():
            ports |= {f"p_REG_{name}_CLK": "CLK0", f"p_REG_{name}_CE": enable, f"p_REG_{name}_RST": "RST0"}
        for name, value in (("A", self.x), ("B", self.weight)):
            wide = [*value, *[value[-1]] * (MULTIPLIER_BITS - len(value))]
            ports |= {f"i_{name}{n}": bit for n, bit in enumerate(wide)}
        ports |= {f"i_C{n}": Const(0) for n in range(MULTIPLIER_BITS)}
        ports |= {f"o_P{n}": bit for n, bit in enumerate(self.product)}
        m.submodules.multiplier = Instance(
            "MULT18X18D",
            p_REG_INPUTC_CLK="NONE",
            p_REG_PIPELINE_CLK="NONE",
            p_RESETMODE="SYNC",
            p_GSR="DISABLED",
            i_CLK0=ClockSignal(),
            i_CE0=Const(1),
            i_CE1=self.swap,
            i_RST0=Const(0),
            i_SIGNEDA=Const(1),
            i_SIGNEDB=Const(1),
            i_SOURCEA=Const(0),
            i_SOURCEB=Const(0),
            **ports,
        )
        return m


class Ecp5(Platform):
    """ECP5's DSP blocks, with their registers."""

    product = Ecp5Product


PLATFORMS = {"ecp5": Ecp5()}
"""By family."""
