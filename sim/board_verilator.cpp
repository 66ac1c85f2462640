// A board's top in Verilator, for the bench of board_driver.cpp, which follows.
#include "Vhwquant.h"

namespace {

struct Design {
    VerilatedContext context;
    Vhwquant top{&context};

    ~Design() { top.final(); }

    void reset(bool on) { top.rst = on; }
    void rx(bool level) { top.rx = level; }
    bool tx() const { return top.tx; }

    void settle() { top.clk = 0, top.eval(); }
    void tick() { top.clk = 1, top.eval(); }
};

}  // namespace
