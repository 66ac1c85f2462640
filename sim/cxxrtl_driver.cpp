// Plays the host of a compiled accelerator and writes down what it sees; hwquant.sim.contract has the rules.
// It is appended to the design that Yosys' write_cxxrtl generates.
#include <cstring>
#include <vector>

namespace {

// What the host does, field by field as in cxxrtl_backend.py.
struct Task {
    const uint32_t *payloads;      // of `words_in` input words, `chunks` 32-bit chunks each
    const uint8_t *idle, *busy;    // `pattern` cycles each
    uint64_t words_in, frame_out, words_out, watched_out, chunks, pattern, patience, linger, counter;
};

using Table = std::vector<uint32_t>;  // rows; a cycle is two entries, the low half first

struct Bench {
    cxxrtl_design::p_hwquant top;
    cxxrtl::debug_items items;
    Task task{};
    uint64_t cycle = 0, moved = 0, sent = 0, received = 0;  // moved: the cycle after that in which a word last moved
    bool offering = false, held = false;
    Table inputs, results, counters, writes;

    Bench() { top.debug_info(&items, nullptr, ""); }

    void settle() { top.p_clk.set<uint32_t>(0), top.step(); }
    void tick() { top.p_clk.set<uint32_t>(1), top.step(); }

    void put(Table &table, uint64_t count) { table.push_back(count), table.push_back(count >> 32); }
    template <size_t Bits>
    void put(Table &table, const cxxrtl::value<Bits> &value) {
        for (size_t i = 0; i < task.chunks; i++) table.push_back(i < value.chunks ? value.data[i] : 0);
    }

    // An entry of the results: first cycle, last cycle, whether it was taken, the word.
    size_t width() const { return 5 + task.chunks; }

    // Whether the word that was offered in the cycle before, and not taken, is still there.
    bool same() const {
        const auto &word = top.p_results____payload;
        return held && !std::memcmp(results.data() + results.size() - task.chunks, word.data, sizeof word.data);
    }

    void send() {
        uint64_t slot = cycle % task.pattern;
        if (!offering && sent < task.words_in && !task.idle[slot]) {
            auto &payload = top.p_frames____payload;
            for (size_t i = 0; i < payload.chunks; i++) payload.data[i] = task.payloads[sent * task.chunks + i];
            offering = true, put(inputs, cycle);
        }
        top.p_frames____valid.set<uint32_t>(offering);
        top.p_results____ready.set<uint32_t>(!task.busy[slot]);
    }

    void see() {
        if (received < task.watched_out && top.p_monitor____valid.get<uint32_t>()) {
            put(writes, cycle);
            writes.push_back(top.p_monitor____address.get<uint32_t>());
            writes.push_back(top.p_monitor____enable.get<uint32_t>());
            put(writes, top.p_monitor____data);
        }
        if (offering && top.p_frames____ready.get<uint32_t>()) {
            sent++, offering = false, moved = cycle + 1, put(inputs, cycle);
        }
        if (!top.p_results____valid.get<uint32_t>()) {
            held = false;
            return;
        }
        if (!same()) put(results, cycle), put(results, cycle), results.push_back(0), put(results, top.p_results____payload);
        bool taken = top.p_results____ready.get<uint32_t>();
        uint32_t *entry = results.data() + results.size() - width();
        entry[2] = cycle, entry[3] = cycle >> 32, entry[4] = taken;
        held = !taken;
        if (taken) {
            if (received < task.words_out) moved = cycle + 1;
            if (++received % task.frame_out == 0) counters.push_back(top.p_bus____read__data.get<uint32_t>());
        }
    }

    bool running() const { return cycle - moved < (received < task.words_out ? task.patience : task.linger); }
};

}  // namespace

extern "C" {

void *hwquant_create() { return new Bench; }

void hwquant_destroy(void *bench) { delete static_cast<Bench *>(bench); }

// Two cycles of reset, and a task, whose arrays the caller keeps.
void hwquant_begin(void *handle, const Task *task) {
    auto &bench = *static_cast<Bench *>(handle);
    bench.task = *task;
    bench.top.p_bus____address.set<uint32_t>(task->counter);
    bench.top.p_rst.set<uint32_t>(1);
    for (int i = 0; i < 2; i++) bench.settle(), bench.tick();
    bench.top.p_rst.set<uint32_t>(0);
}

// Runs at most so many clock cycles; returns whether there is more to do.
int hwquant_run(void *handle, uint64_t cycles) {
    auto &bench = *static_cast<Bench *>(handle);
    while (cycles-- && bench.running()) bench.send(), bench.settle(), bench.see(), bench.tick(), bench.cycle++;
    return bench.running();
}

uint64_t hwquant_cycles(void *handle) { return static_cast<Bench *>(handle)->cycle; }

// A table of the log, and the number of its entries.
const uint32_t *hwquant_table(void *handle, int index, uint64_t *size) {
    auto &bench = *static_cast<Bench *>(handle);
    Table *table[] = {&bench.inputs, &bench.results, &bench.counters, &bench.writes};
    *size = table[index]->size();
    return table[index]->data();
}

}  // extern "C"
