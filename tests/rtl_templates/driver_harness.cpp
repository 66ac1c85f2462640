// Runs the C driver against a core that Verilator simulates: every access to a register is an access of the bus.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vnet.h"
#include "hwquant.h"
#include "net_network.h"
#include "verilated.h"

static Vnet core_model;

static void tick() {
    core_model.clk = 0;
    core_model.eval();
    core_model.clk = 1;
    core_model.eval();
}

static uint32_t access(uintptr_t address, bool write, uint32_t value) {
    core_model.adr = (address >> 2) & 15;
    core_model.we = write;
    core_model.dat_w = value;
    core_model.cyc = core_model.stb = 1;
    do
        tick();
    while (!core_model.ack && !core_model.err);
    if (core_model.err) {
        std::puts("bus error");
        std::exit(1);
    }
    const uint32_t read = core_model.dat_r;
    core_model.cyc = core_model.stb = 0;
    tick();
    return read;
}

uint32_t hwquant_read(uintptr_t address) { return access(address, false, 0); }
void hwquant_write(uintptr_t address, uint32_t value) { access(address, true, value); }

// Frames come from stdin; statuses, results in hexadecimal digits, and cycles go to stdout.
int main(int, char **arguments) {
    struct hwquant_network network = net_network;
    network.checksum += std::atoi(arguments[1]);
    network.identity += std::atoi(arguments[2]);
    network.beats += std::atoi(arguments[3]);
    const struct hwquant core = {0x40000000, &network, 10000};
    core_model.rst = 1;
    tick();
    core_model.rst = 0;
    int status = hwquant_open(&core);
    std::printf("open %d\n", status);
    std::vector<uint8_t> frame(hwquant_frame_bytes(&core)), result(hwquant_result_bytes(&core));
    while (status == HWQUANT_OK && std::fread(frame.data(), 1, frame.size(), stdin) == frame.size()) {
        hwquant_start(&core);
        status = hwquant_infer(&core, frame.data(), result.data());
        std::printf("infer %d %u ", status, hwquant_cycles(&core));
        for (uint8_t byte : result)
            std::printf("%02x", byte);
        std::puts("");
    }
    return 0;
}
