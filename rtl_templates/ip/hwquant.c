/* Driver of an hwquant core on a memory-mapped Wishbone bus; see hwquant.h. */
#include "hwquant.h"

#include "registers.h"

#define ADDRESS(core, name) ((core)->registers + offsetof(hwquant_t, name))

#ifndef HWQUANT_BUS
/* The structure in registers.h is packed, so compilers may split accesses to its members; these are whole. */
static uint32_t hwquant_read(uintptr_t address) { return *(const volatile uint32_t *)address; }
static void hwquant_write(uintptr_t address, uint32_t value) { *(volatile uint32_t *)address = value; }
#endif

size_t hwquant_frame_bytes(const struct hwquant *core) {
    return (size_t)core->network->beats * core->network->beat_bytes;
}

size_t hwquant_result_bytes(const struct hwquant *core) {
    return (size_t)core->network->words * core->network->word_bytes;
}

/* Check that the core has the program that is expected, drop results that nobody took, and begin at whole words.
   Nothing may be under way: after a frame whose result did not come, reset the core before. */
enum hwquant_status hwquant_open(const struct hwquant *core) {
    const struct hwquant_network *network = core->network;
    uint32_t left;
    if (hwquant_read(ADDRESS(core, IDENTITY)) != network->identity ||
        hwquant_read(ADDRESS(core, VERSION)) != network->version)
        return HWQUANT_NOT_FOUND;
    if (hwquant_read(ADDRESS(core, CHECKSUM)) != network->checksum)
        return HWQUANT_OTHER_PROGRAM;
    for (left = core->patience; hwquant_read(ADDRESS(core, STREAMS)) & HWQUANT__STREAMS__HAS_RESULT_bm; left--) {
        if (left == 0)
            return HWQUANT_TIMEOUT;
        (void)hwquant_read(ADDRESS(core, RESULT));
    }
    hwquant_write(ADDRESS(core, STREAMS), 0);
    return HWQUANT_OK;
}

/* Let one inference begin, and no further ones: after reset they begin by themselves, and need no start. */
void hwquant_start(const struct hwquant *core) {
    hwquant_write(ADDRESS(core, CONTROL), HWQUANT__CONTROL__START_bm);
}

static uint32_t dropped(const struct hwquant *core) {
    return hwquant_read(ADDRESS(core, STATUS)) & HWQUANT__STATUS__DROPPED_bm;
}

/* Wait for bits of the register STREAMS: an access to a stream that is not ready is an error of the bus. */
static enum hwquant_status wait_for(const struct hwquant *core, uint32_t bits) {
    uint32_t left;
    for (left = core->patience; left > 0; left--)
        if (hwquant_read(ADDRESS(core, STREAMS)) & bits)
            return HWQUANT_OK;
    if (hwquant_read(ADDRESS(core, STATUS)) & HWQUANT__STATUS__ILLEGAL_bm)
        return HWQUANT_STOPPED;
    return HWQUANT_TIMEOUT;
}

/* Send a frame, hwquant_frame_bytes() of them: its beats, each in beat_bytes bytes, low ones first. */
enum hwquant_status hwquant_send(const struct hwquant *core, const uint8_t *frame) {
    const struct hwquant_network *network = core->network;
    const uint32_t before = dropped(core);
    uint32_t beat, byte, n;
    for (beat = 0; beat < network->beats; beat++) {
        const uintptr_t port = beat + 1 < network->beats ? ADDRESS(core, FRAME) : ADDRESS(core, LAST);
        const enum hwquant_status status = wait_for(core, HWQUANT__STREAMS__TAKES_INPUT_bm);
        if (status != HWQUANT_OK)
            return status;
        for (byte = 0; byte < network->beat_bytes; byte += 4) {
            uint32_t part = 0;
            for (n = 0; n < 4 && byte + n < network->beat_bytes; n++)
                part |= (uint32_t)*frame++ << (8 * n);
            hwquant_write(port, part);
        }
    }
    return dropped(core) == before ? HWQUANT_OK : HWQUANT_DROPPED;
}

/* Wait for a result, and take its words: hwquant_result_bytes(), each word in word_bytes bytes, low ones first. */
enum hwquant_status hwquant_receive(const struct hwquant *core, uint8_t *result) {
    const struct hwquant_network *network = core->network;
    uint32_t word, byte, n;
    for (word = 0; word < network->words; word++) {
        const enum hwquant_status status = wait_for(core, HWQUANT__STREAMS__HAS_RESULT_bm);
        if (status != HWQUANT_OK)
            return status;
        for (byte = 0; byte < network->word_bytes; byte += 4) {
            const uint32_t part = hwquant_read(ADDRESS(core, RESULT));
            for (n = 0; n < 4 && byte + n < network->word_bytes; n++)
                *result++ = (uint8_t)(part >> (8 * n));
        }
    }
    return HWQUANT_OK;
}

/* Send a frame and take its result. */
enum hwquant_status hwquant_infer(const struct hwquant *core, const uint8_t *frame, uint8_t *result) {
    const enum hwquant_status status = hwquant_send(core, frame);
    return status == HWQUANT_OK ? hwquant_receive(core, result) : status;
}

/* Clock cycles of the latest inference. */
uint32_t hwquant_cycles(const struct hwquant *core) { return hwquant_read(ADDRESS(core, CYCLES)); }
