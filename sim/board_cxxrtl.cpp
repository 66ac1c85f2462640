// A board's top in CXXRTL, for the bench of board_driver.cpp.
// It is appended to the design that Yosys' write_cxxrtl generates; the bench follows.

namespace {

struct Design {
    cxxrtl_design::p_hwquant top;
    cxxrtl::debug_items items;

    Design() { top.debug_info(&items, nullptr, ""); }

    void reset(bool on) { top.p_rst.set<uint32_t>(on); }
    void rx(bool level) { top.p_rx.set<uint32_t>(level); }
    bool tx() const { return top.p_tx.get<uint32_t>(); }

    void settle() { top.p_clk.set<uint32_t>(0), top.step(); }
    void tick() { top.p_clk.set<uint32_t>(1), top.step(); }
};

}  // namespace
