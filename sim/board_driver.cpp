// Clocks a board's top from Python, with whole bytes at its serial line.
// It is appended to a Design, which says how a simulator has the top: reset, rx, tx, and the two halves of a
// clock cycle. Outputs are read between them: after tick() CXXRTL has not yet followed the registers.
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

struct Bench : Design {
    uint32_t divisor, rx_bits = 1, rx_timer = 0, tx_bits = 0, tx_timer = 0;

    explicit Bench(uint32_t divisor) : divisor(divisor) {}
};

}  // namespace

extern "C" {

void *hwquant_create(uint32_t divisor) { return new Bench(divisor); }

void hwquant_destroy(void *bench) { delete static_cast<Bench *>(bench); }

void hwquant_reset(void *handle, uint32_t cycles) {
    auto *bench = static_cast<Bench *>(handle);
    bench->rx(true);
    bench->reset(true);
    while (cycles--) bench->settle(), bench->tick();
    bench->reset(false);
}

// Runs `cycles` cycles, less where the board has said something and is quiet again. Takes bytes from `in` as
// fast as the line carries them, adds the number of those taken to `taken`; puts at most `capacity` into `out`
// and returns their number.
size_t hwquant_run(void *handle, const uint8_t *in, size_t size, uint8_t *out, size_t capacity, uint64_t cycles,
                   size_t *taken) {
    auto &bench = *static_cast<Bench *>(handle);
    size_t received = 0, quiet = 0;
    while (cycles-- && received < capacity && !(received && *taken == size && quiet > 20 * bench.divisor)) {
        // A lone 1 in rx_bits is the stop bit, and afterwards the idle line.
        if (bench.rx_timer) {
            bench.rx_timer--;
        } else if (bench.rx_bits != 1) {
            bench.rx_bits >>= 1, bench.rx_timer = bench.divisor - 1;
        } else if (*taken < size) {
            bench.rx_bits = in[(*taken)++] << 1 | 1 << 9, bench.rx_timer = bench.divisor - 1;
        }
        bench.rx(bench.rx_bits & 1);
        bench.settle();
        uint32_t tx = bench.tx();
        bench.tick();
        quiet++;
        if (!bench.tx_bits) {
            // A mark above the data shows, at the bottom, that they are complete.
            if (!tx) bench.tx_bits = 1 << 8, bench.tx_timer = bench.divisor + bench.divisor / 2 - 1;
        } else if (bench.tx_timer) {
            bench.tx_timer--;
        } else if (bench.tx_bits & 1) {
            if (tx) out[received++] = bench.tx_bits >> 1;
            bench.tx_bits = 0, quiet = 0;
        } else {
            bench.tx_bits = bench.tx_bits >> 1 | tx << 8, bench.tx_timer = bench.divisor - 1;
        }
        if (bench.tx_bits) quiet = 0;
    }
    return received;
}

}  // extern "C"
