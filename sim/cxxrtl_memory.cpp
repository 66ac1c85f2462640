// Access to the memories of a compiled design. Appended to its driver.

extern "C" {

// Replaces the first `depth` words of the memory whose hierarchical name is `name`. False: no such memory,
// or one of another width or a smaller depth.
int hwquant_poke(void *handle, const char *name, const uint32_t *words, size_t width, size_t depth) {
    auto *bench = static_cast<Bench *>(handle);
    if (!bench->items.count(name)) return 0;
    auto &item = bench->items.at(name)[0];
    if (item.type != cxxrtl::debug_item::MEMORY || item.width != width || item.depth < depth) return 0;
    std::memcpy(item.curr, words, depth * ((width + 31) / 32) * sizeof(uint32_t));
    return 1;
}

}
