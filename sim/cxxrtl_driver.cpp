// Drives a compiled accelerator from Python: whole frames in, whole frames out, one call a run.
// It is appended to the design that Yosys' write_cxxrtl generates.
#include <cstring>

namespace {

struct Random {  // xorshift64*: the same seed gives the same stalls everywhere
    uint64_t state;
    bool below(uint32_t per_mille) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        return (state * 2685821657736338717ull >> 33) % 1000 < per_mille;
    }
};

struct Bench {
    cxxrtl_design::p_hwquant top;
    cxxrtl::debug_items items;
    Bench() { top.debug_info(&items, nullptr, ""); }

    void settle() { top.p_clk.set<uint32_t>(0); top.step(); }
    void tick() { top.p_clk.set<uint32_t>(1); top.step(); }
};

template <size_t Bits>
void load(cxxrtl::value<Bits> &value, const uint32_t *chunks, uint32_t last) {
    for (size_t i = 0; i < value.chunks; i++) value.data[i] = chunks[i];
    value.data[(Bits - 1) / 32] |= last << ((Bits - 1) % 32);
}

}  // namespace

extern "C" {

void *hwquant_create() { return new Bench; }

void hwquant_destroy(void *bench) { delete static_cast<Bench *>(bench); }

void hwquant_reset(void *handle, uint32_t cycles) {
    auto *bench = static_cast<Bench *>(handle);
    bench->top.p_rst.set<uint32_t>(1);
    while (cycles--) bench->settle(), bench->tick();
    bench->top.p_rst.set<uint32_t>(0);
}

// Feeds `frames` frames of `words_in` words and collects as many of `words_out`. Each word is `chunks` 32-bit
// chunks. `idle` and `busy` are the chances, per mille, that the host pauses before a word on either side.
// `counters` receives the cycle counter after each frame, `periods` the clock cycles between the ends of
// frames; the first `limit` monitored writes go to `log`, each as frame, address, enable, data chunks.
// Returns the number of monitored writes, or -1 if `patience` cycles pass without a word being moved.
int64_t hwquant_run(void *handle, const uint32_t *frame, uint32_t *result, size_t frames, size_t words_in,
                    size_t words_out, size_t chunks, uint32_t idle, uint32_t busy, uint64_t seed,
                    uint64_t patience, uint32_t *counters, uint64_t *periods, uint32_t *log, size_t limit) {
    auto &top = static_cast<Bench *>(handle)->top;
    Random random{seed * 2 + 1};
    size_t sent = 0, received = 0, logged = 0, total_in = frames * words_in, total_out = frames * words_out;
    uint64_t quiet = 0, elapsed = 0;
    bool offering = false;
    top.p_bus____address.set<uint32_t>(5);
    while (received < total_out) {
        if (!offering && sent < total_in && !(idle && random.below(idle))) {
            load(top.p_frames____payload, frame + sent * chunks, (sent + 1) % words_in == 0);
            offering = true;
        }
        top.p_frames____valid.set<uint32_t>(offering);
        bool accepting = !(busy && random.below(busy));
        top.p_results____ready.set<uint32_t>(accepting);
        static_cast<Bench *>(handle)->settle();
        quiet++, elapsed++;
        if (log && top.p_monitor____valid.get<uint32_t>()) {
            if (logged < limit) {
                uint32_t *entry = log + logged * (3 + chunks);
                entry[0] = received / words_out;
                entry[1] = top.p_monitor____address.get<uint32_t>();
                entry[2] = top.p_monitor____enable.get<uint32_t>();
                for (size_t i = 0; i < chunks; i++) entry[3 + i] = top.p_monitor____data.data[i];
            }
            logged++;
        }
        if (offering && top.p_frames____ready.get<uint32_t>()) sent++, offering = false, quiet = 0;
        if (accepting && top.p_results____valid.get<uint32_t>()) {
            for (size_t i = 0; i < chunks; i++) result[received * chunks + i] = top.p_results____payload.data[i];
            quiet = 0;
            if (++received % words_out == 0) {
                counters[received / words_out - 1] = top.p_bus____read__data.get<uint32_t>();
                periods[received / words_out - 1] = elapsed;
                elapsed = 0;
            }
        }
        if (quiet > patience) return -1;
        static_cast<Bench *>(handle)->tick();
    }
    return logged;
}

}  // extern "C"
