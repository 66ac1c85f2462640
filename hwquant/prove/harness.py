"""What a proof is about: a component, inputs that may be anything, and what must always be true."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, DomainRenamer, Module, ShapeLike, Signal, Value, ValueLike
from amaranth.lib.wiring import Component, Flow


class Method(Enum):
    """How a claim is proven; the value says it in words."""

    INDUCTION = "k-induction"
    REACHABILITY = "property directed reachability"
    BOUNDED = "bounded"

    @property
    def unbounded(self) -> bool:
        """Whether the claim then holds in all cycles."""
        return self is not Method.BOUNDED


@dataclass(frozen=True)
class Claim:
    """Something that is true of a component for all inputs.

    Attributes
    ----------
    name : str
        Its name, of the component's and what is claimed.
    statement : str
        What is claimed, in a sentence.
    build : callable
        Puts the component and the claim into a harness.
    method : Method
        How it is proven.
    depth : int
        Cycles of the induction or the bound; in twice as many a damaged component has to be found out.
    aside : tuple of str, optional
        Registers of the component that the claim says nothing of, by name or pattern; they are not damaged.
    """

    name: str
    statement: str
    build: Callable[[Harness], None]
    method: Method
    depth: int
    aside: tuple[str, ...] = ()


class Harness:
    """A module around a component, whose inputs are free.

    All starts as after configuration: registers have their initial values, and nothing resets them.

    Attributes
    ----------
    m : Module
        The module, for what a claim compares the component with.
    dut : Component or None
        The component, once it has been put in.
    seen : dict of str to str
        Names of the harness' inputs that stand for signals inside the component, and which these are.
    """

    def __init__(self) -> None:
        self.m = Module()
        self.m.domains += (domain := ClockDomain("sync", reset_less=True))
        self.dut: Component | None = None
        self.seen: dict[str, str] = {}
        self._inputs: list[Value] = [domain.clk]
        self._always: Value = Value.cast(1)
        self._lemmas: Value = Value.cast(1)
        self._assumed: Value = Value.cast(1)

    def free(self, name: str, shape: ShapeLike = 1) -> Any:
        """Make an input that may be anything in each cycle."""
        signal = Signal(shape, name=name)
        self._inputs.append(Value.cast(signal))
        return signal

    def symbol(self, name: str, shape: ShapeLike = 1) -> Any:
        """Make a value that may be anything, and is the same in all cycles."""
        chosen = self.free(f"{name}_chosen", shape)
        kept, begun = Signal(shape, name=f"{name}_kept"), Signal(name=f"{name}_begun")
        value = Signal(shape, name=name)
        with self.m.If(begun):
            self.m.d.comb += value.eq(kept)
        with self.m.Else():
            self.m.d.comb += value.eq(chosen)
        self.m.d.sync += [kept.eq(value), begun.eq(1)]
        return value

    def inside(self, name: str, shape: ShapeLike = 1) -> Any:
        """See a signal inside the component, by its name such as ``"product.digit0"``; for lemmas."""
        signal = self.free(f"inside{len(self.seen)}", shape)
        self.seen[signal.name] = f"dut.{name}"
        return signal

    def component(self, component: Component, *, domain: str = "sync", **driven: ValueLike) -> Any:
        """Put the component in; its inputs are free but for those that are given, by name.

        A stream's payload and readiness are given as ``i_payload``, ``o_ready`` and so on. A component that makes its
        clock domain itself has another ``domain`` than the harness'.
        """
        self.dut = component
        self.m.submodules.dut = DomainRenamer(domain)(component)
        for path, member, port in component.signature.flatten(component):
            if member.flow is Flow.In:
                name = "_".join(str(part) for part in path)
                value = driven.pop(name) if name in driven else self.free(name, member.shape)
                self.m.d.comb += Value.cast(port).eq(Value.cast(value))
        if driven:
            raise ValueError(f"the component has no inputs {', '.join(driven)}")
        return component

    def before(self, value: ValueLike, cycles: int = 1) -> Value:
        """A value as it was some cycles before; 0 before there was any."""
        value = Value.cast(value)
        for _ in range(cycles):
            register = Signal(value.shape(), name="before")
            self.m.d.sync += register.eq(value)
            value = register
        return value

    def always(self, condition: ValueLike) -> None:
        """Claim a condition in all cycles."""
        self._always &= Value.cast(condition).bool()

    def lemma(self, condition: ValueLike) -> None:
        """Claim a condition that only helps to prove the others."""
        self._lemmas &= Value.cast(condition).bool()

    def assume(self, condition: ValueLike) -> None:
        """Take a condition of the inputs for granted, in all cycles."""
        self._assumed &= Value.cast(condition).bool()

    def rtlil(self) -> str:
        """The module as RTLIL, with the outputs ``always``, ``lemmas`` and ``assumed``."""
        outputs = {"always": self._always, "lemmas": self._lemmas, "assumed": self._assumed}
        signals = {name: Signal(name=name) for name in outputs}
        self.m.d.comb += [signals[name].eq(value) for name, value in outputs.items()]
        text = str(rtlil.convert(self.m, ports=[*self._inputs, *signals.values()]))
        self.seen |= {name: _flat(text, inside) for name, inside in self.seen.items()}
        return text


def _flat(text: str, inside: str) -> str:
    """The flat name of a signal: Amaranth numbers submodules that are named as a signal is."""
    *modules, signal = inside.split(".")
    flat = "top"
    for module in modules:
        found = re.search(rf"cell \\{re.escape(flat)}\.({module}(?:\$\d+)?) ", text)
        if not found:
            raise ValueError(f"the component has no submodule {module}, where {inside} should be")
        flat += f".{found[1]}"
    return f"{flat.removeprefix('top.')}.{signal}"
