"""AXI4 around the port to external memory: what is the same all the time, and the names that buses have."""

from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Member, Out

from hwquant.rtl_templates.ports import AxiMemoryPort

INCR = 1
"""Type of a burst: the address of a beat follows that of the one before."""

CACHE = 0b0011
"""Attributes of a burst: bufferable and modifiable, not cached."""


def memory_members(data_bits: int) -> dict[str, Member]:
    """The signals of an AXI4 master for external memory, ``m_axi_*``.

    Parameters
    ----------
    data_bits : int
        Width of the port.
    """
    address = {
        "id": Out(1),
        "addr": Out(32),
        "len": Out(8),
        "size": Out(3),
        "burst": Out(2),
        "lock": Out(1),
        "cache": Out(4),
        "prot": Out(3),
        "qos": Out(4),
        "valid": Out(1),
        "ready": In(1),
    }
    channels = {
        "aw": address,
        "w": {
            "data": Out(data_bits),
            "strb": Out(data_bits // 8),
            "last": Out(1),
            "valid": Out(1),
            "ready": In(1),
        },
        "b": {"id": In(1), "resp": In(2), "valid": In(1), "ready": Out(1)},
        "ar": address,
        "r": {
            "id": In(1),
            "data": In(data_bits),
            "resp": In(2),
            "last": In(1),
            "valid": In(1),
            "ready": Out(1),
        },
    }
    return {
        f"m_axi_{channel}{name}": member
        for channel, members in channels.items()
        for name, member in members.items()
    }


def connect_memory(m: Module, port: AxiMemoryPort, outside: Component, data_bits: int) -> None:
    """Connect an accelerator's port to the signals of :func:`memory_members`.

    Parameters
    ----------
    m : Module
        Module that gets the connections.
    port : AxiMemoryPort
        The accelerator's port.
    outside : Component
        What has the signals as members.
    data_bits : int
        Width of the port.
    """
    size = (data_bits // 8).bit_length() - 1
    for channel, inner in (("aw", port.aw), ("ar", port.ar)):
        of = f"m_axi_{channel}"
        m.d.comb += [
            getattr(outside, f"{of}addr").eq(inner.payload.address),
            getattr(outside, f"{of}len").eq(inner.payload.length),
            getattr(outside, f"{of}size").eq(size),
            getattr(outside, f"{of}burst").eq(INCR),
            getattr(outside, f"{of}cache").eq(CACHE),
            getattr(outside, f"{of}valid").eq(inner.valid),
            inner.ready.eq(getattr(outside, f"{of}ready")),
        ]
    m.d.comb += [
        outside.m_axi_wdata.eq(port.w.payload.data),
        outside.m_axi_wstrb.eq(-1),
        outside.m_axi_wlast.eq(port.w.payload.last),
        outside.m_axi_wvalid.eq(port.w.valid),
        port.w.ready.eq(outside.m_axi_wready),
        port.b.payload.resp.eq(outside.m_axi_bresp),
        port.b.valid.eq(outside.m_axi_bvalid),
        outside.m_axi_bready.eq(port.b.ready),
        port.r.payload.data.eq(outside.m_axi_rdata),
        port.r.payload.resp.eq(outside.m_axi_rresp),
        port.r.payload.last.eq(outside.m_axi_rlast),
        port.r.valid.eq(outside.m_axi_rvalid),
        outside.m_axi_rready.eq(port.r.ready),
    ]
