/* Driver of an hwquant core behind Xilinx's AXI DMA in simple mode (AMD, PG021); see hwquant_dma.h. */
#include "hwquant_dma.h"

#include "registers.h"

#define ADDRESS(core, name) ((core)->registers + offsetof(hwquant_t, name))

/* Registers of a channel, and where those of the two channels begin. */
enum { CONTROL = 0x00, STATUS = 0x04, BUFFER = 0x18, BUFFER_HIGH = 0x1c, LENGTH = 0x28 };
enum { TO_CORE = 0x00, FROM_CORE = 0x30 };
enum { RUN = 1 << 0, RESET = 1 << 2, IDLE = 1 << 1, ERRORS = 7 << 4 };

#ifndef HWQUANT_BUS
static uint32_t hwquant_read(uintptr_t address) { return *(const volatile uint32_t *)address; }
static void hwquant_write(uintptr_t address, uint32_t value) { *(volatile uint32_t *)address = value; }
#endif

#ifndef HWQUANT_CACHE
static void hwquant_flush(const uint8_t *data, size_t bytes) {
    (void)data;
    (void)bytes;
}
static void hwquant_invalidate(uint8_t *data, size_t bytes) {
    (void)data;
    (void)bytes;
}
#endif

#ifndef HWQUANT_BARRIER
/* Keeps the compiler from moving accesses of memory over those of registers, where it is one that can be told so. */
static void hwquant_barrier(void) {
#ifdef __GNUC__
    __asm__ volatile("" ::: "memory");
#endif
}
#endif

size_t hwquant_dma_frame_bytes(const struct hwquant_dma *core) {
    return (size_t)core->network->beats * core->network->beat_bytes;
}

size_t hwquant_dma_result_bytes(const struct hwquant_dma *core) {
    return (size_t)core->network->words * core->network->word_bytes;
}

/* Check that the core has the program that is expected, and reset the DMA. Nothing may be under way: after an inference
   that did not end with HWQUANT_OK, reset the core before. It has no register for that: load the bitstream again, or
   reset the programmable logic. On Zynq-7000 that is a 1, then a 0, in bit 0 of FPGA_RST_CTRL (0xf8000240), after
   SLCR_UNLOCK (0xf8000008) was written 0xdf0d; it resets all that FCLK_RESET0_N does, MEMORY of the core as well. */
enum hwquant_status hwquant_dma_open(const struct hwquant_dma *core) {
    const struct hwquant_network *network = core->network;
    uint32_t left;
    if (hwquant_read(ADDRESS(core, IDENTITY)) != network->identity ||
        hwquant_read(ADDRESS(core, VERSION)) != network->version)
        return HWQUANT_NOT_FOUND;
    if (hwquant_read(ADDRESS(core, CHECKSUM)) != network->checksum)
        return HWQUANT_OTHER_PROGRAM;
    hwquant_write(core->dma + TO_CORE + CONTROL, RESET); /* of both channels */
    for (left = core->patience; hwquant_read(core->dma + TO_CORE + CONTROL) & RESET; left--)
        if (left == 0)
            return HWQUANT_TIMEOUT;
    hwquant_write(core->dma + TO_CORE + CONTROL, RUN);
    hwquant_write(core->dma + FROM_CORE + CONTROL, RUN);
    return HWQUANT_OK;
}

/* Say where the core's external memory begins, as the core's port sees it: before the first frame, for a core that has
   such. It is network->memory_bytes from a page of 4 KiB on. The contents of external.bin come first, and are to be
   there, written back from caches; the core stores behind them, so nothing else may lie there, or be cached. */
void hwquant_dma_memory(const struct hwquant_dma *core, uint32_t address) {
    hwquant_barrier();
    hwquant_write(ADDRESS(core, MEMORY), address);
}

static void transfer(uintptr_t channel, uintptr_t data, size_t bytes) {
    hwquant_write(channel + BUFFER, (uint32_t)data);
#if UINTPTR_MAX > 0xffffffffu
    hwquant_write(channel + BUFFER_HIGH, (uint32_t)(data >> 32));
#endif
    hwquant_write(channel + LENGTH, (uint32_t)bytes); /* begins */
}

/* Send a frame, hwquant_dma_frame_bytes() of them: its beats, each in beat_bytes bytes, low ones first, and zeros above.
   Wait for its result: hwquant_dma_result_bytes(), likewise. */
enum hwquant_status hwquant_dma_infer(const struct hwquant_dma *core, const uint8_t *frame, uint8_t *result) {
    const uint32_t before = hwquant_read(ADDRESS(core, STATUS)) & HWQUANT__STATUS__DROPPED_bm;
    uint32_t left, status;
    hwquant_flush(frame, hwquant_dma_frame_bytes(core));
    hwquant_invalidate(result, hwquant_dma_result_bytes(core));
    hwquant_barrier();
    transfer(core->dma + FROM_CORE, (uintptr_t)result, hwquant_dma_result_bytes(core));
    transfer(core->dma + TO_CORE, (uintptr_t)frame, hwquant_dma_frame_bytes(core));
    for (left = core->patience; left > 0; left--) {
        status = hwquant_read(core->dma + FROM_CORE + STATUS);
        if ((status | hwquant_read(core->dma + TO_CORE + STATUS)) & ERRORS)
            return HWQUANT_DMA_ERROR;
        if (status & IDLE) {
            hwquant_barrier();
            hwquant_invalidate(result, hwquant_dma_result_bytes(core));
            return HWQUANT_OK;
        }
    }
    status = hwquant_read(ADDRESS(core, STATUS));
    if (status & HWQUANT__STATUS__ILLEGAL_bm)
        return HWQUANT_STOPPED;
    return (status & HWQUANT__STATUS__DROPPED_bm) == before ? HWQUANT_TIMEOUT : HWQUANT_DROPPED;
}

/* Clock cycles of the latest inference. */
uint32_t hwquant_dma_cycles(const struct hwquant_dma *core) { return hwquant_read(ADDRESS(core, CYCLES)); }
