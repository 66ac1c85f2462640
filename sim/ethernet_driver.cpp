// Clocks a board's top behind an RGMII PHY from Python, a byte of the wire at 125 MHz after the other.
// It is appended to the design that Yosys' write_cxxrtl generates.
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

enum Byte : uint16_t { VALID = 0x100 };

struct Bench {
    cxxrtl_design::p_hwquant top;
    cxxrtl::debug_items items;
    double ratio, phase = 0;  // cycles of the core a byte, and what is left of one
    double net = 0;           // the same of the network's, 2 of which are 5 bytes

    explicit Bench(double ratio) : ratio(ratio) { top.debug_info(&items, nullptr, ""); }

    void core() {
        top.p_clk.set<uint32_t>(0), top.step();
        top.p_clk.set<uint32_t>(1), top.step();
    }

    void network() {
        top.p_net__clk.set<uint32_t>(0), top.step();
        top.p_net__clk.set<uint32_t>(1), top.step();
    }

    // Half a cycle of the PHY's clock, in which a nibble comes.
    void half(bool high, uint32_t nibble, bool valid) {
        top.p_eth__rx__data.set<uint32_t>(nibble), top.p_eth__rx__ctl.set<uint32_t>(valid);
        top.p_eth__rx__clk.set<uint32_t>(high), top.step();
        for (phase += ratio / 2; phase >= 1; phase -= 1) core();
        if ((net += 0.2) >= 1) net -= 1, network();
        top.step();  // outputs follow the registers
    }

    uint16_t cycle(uint16_t in) {
        half(true, in & 15, in & VALID);
        uint16_t out = top.p_eth__tx__data.get<uint32_t>() | (top.p_eth__tx__ctl.get<uint32_t>() ? VALID : 0);
        half(false, in >> 4 & 15, in & VALID);
        return out | top.p_eth__tx__data.get<uint32_t>() << 4;
    }
};

}  // namespace

extern "C" {

void *hwquant_create(double ratio) { return new Bench(ratio); }

void hwquant_destroy(void *bench) { delete static_cast<Bench *>(bench); }

void hwquant_reset(void *handle) {
    auto &bench = *static_cast<Bench *>(handle);
    for (uint32_t on : {1u, 0u}) {
        bench.top.p_rst.set<uint32_t>(on), bench.top.p_net__rst.set<uint32_t>(on);
        for (int n = 0; n < 64; n++) bench.cycle(0);
    }
}

// What the board says while it hears `in`: bytes, with VALID where they belong to a frame.
void hwquant_run(void *handle, const uint16_t *in, uint16_t *out, size_t count) {
    auto &bench = *static_cast<Bench *>(handle);
    for (size_t n = 0; n < count; n++) out[n] = bench.cycle(in[n]);
}

}  // extern "C"
