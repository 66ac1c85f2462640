// Clocks a board's top behind a USB cable from Python, a sample of the cable at 48 MHz after the other.
// It is appended to the design that Yosys' write_cxxrtl generates.
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

enum Level : uint8_t { SE0 = 0, J = 1, K = 2, IDLE = 3, DEVICE = 4 };

struct Bench {
    cxxrtl_design::p_hwquant top;
    cxxrtl::debug_items items;
    double ratio, phase = 0;  // cycles of the core a sample, and what is left of one
    unsigned sample = 0;

    explicit Bench(double ratio) : ratio(ratio) { top.debug_info(&items, nullptr, ""); }

    bool core_high = false, cable_high = false;

    void core_clock(bool on) { top.p_clk.set<uint32_t>(core_high = on); }

    void cable_clock(bool on, bool slow) {
        top.p_usb__io__clk.set<uint32_t>(cable_high = on);
        top.p_usb__clk.set<uint32_t>(on && slow);
    }

    // An edge of one clock; that of the other falls with it, which saves a step where they take turns.
    void core() {
        if (core_high) core_clock(false), top.step();
        cable_clock(false, false), core_clock(true), top.step();
    }

    void cable(bool slow) {
        if (cable_high) cable_clock(false, false), top.step();
        core_clock(false), cable_clock(true, slow), top.step();
    }

    // A sample in which the host drives a level, or none; gives the level that the cable has, and who drives it.
    uint8_t step(uint8_t host) {
        bool device = top.p_d__p____oe.get<uint32_t>();
        uint8_t level = host;
        if (device) level = top.p_d__p____o.get<uint32_t>() | top.p_d__n____o.get<uint32_t>() << 1;
        else if (host == IDLE) level = top.p_pull__up.get<uint32_t>() ? J : SE0;
        top.p_d__p____i.set<uint32_t>(level & 1), top.p_d__n____i.set<uint32_t>(level >> 1 & 1);
        cable(sample++ % 4 == 0);
        for (phase += ratio; phase >= 1; phase -= 1) core();
        return level | (device ? DEVICE : 0);
    }
};

}  // namespace

extern "C" {

void *hwquant_create(double ratio) { return new Bench(ratio); }

void hwquant_destroy(void *bench) { delete static_cast<Bench *>(bench); }

void hwquant_reset(void *handle) {
    auto &bench = *static_cast<Bench *>(handle);
    for (uint32_t on : {1u, 0u}) {
        bench.top.p_rst.set<uint32_t>(on);
        bench.top.p_usb__rst.set<uint32_t>(on), bench.top.p_usb__io__rst.set<uint32_t>(on);
        for (int n = 0; n < 32; n++) bench.step(IDLE);
    }
}

// Puts what the cable has in each sample into `seen`; ends earlier where the device has stopped driving it.
// Returns the number of samples.
size_t hwquant_run(void *handle, const uint8_t *host, uint8_t *seen, size_t samples) {
    auto &bench = *static_cast<Bench *>(handle);
    for (size_t n = 0; n < samples; n++) {
        seen[n] = bench.step(host[n]);
        if (n && seen[n - 1] & DEVICE && !(seen[n] & DEVICE)) return n + 1;
    }
    return samples;
}

}  // extern "C"
