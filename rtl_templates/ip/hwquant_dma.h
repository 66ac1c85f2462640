/* Driver of an hwquant core behind AXI DMA in simple mode, in C99 without a library. hwquant_dma.c explains the calls.
 *
 * NAME_network.h, which `hwquant core` writes for a core, has the network that it computes:
 *
 *     struct hwquant_dma core = {.registers = CORE_BASE, .dma = DMA_BASE, .network = &NAME_network, .patience = 1000000};
 *     enum hwquant_status status = hwquant_dma_open(&core);
 *     if (status == HWQUANT_OK)
 *         status = hwquant_dma_infer(&core, frame, result);
 *
 * A pointer to a frame or a result goes to the DMA as it is: it must be the address at which the DMA sees that memory.
 * Those of a process of Linux are not, and the DMA would overwrite memory of others; hwquant_pynq.py is for Linux. It
 * is a multiple of 4 bytes, and of beat_bytes or, for a result, word_bytes: the DMA of NAME_design.tcl does not realign.
 *
 * That memory is uncached, or behind a coherent port, or HWQUANT_CACHE is defined and its two functions below are
 * supplied. Then a result owns whole cache lines: it begins with one, and nothing else is in its last one.
 *
 * A processor that may reorder accesses of memory with those of registers, such as a Cortex-A, needs HWQUANT_BARRIER, and
 * the function below; without it, compilers with GNU's asm are kept from reordering, and nothing else is.
 */
#ifndef HWQUANT_DMA_H
#define HWQUANT_DMA_H

#include "hwquant_core.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hwquant_dma {
    uintptr_t registers; /* address of the core's first register */
    uintptr_t dma;       /* address of the DMA's first register */
    const struct hwquant_network *network;
    uint32_t patience; /* how often the driver asks before it gives up */
};

/* Bytes of an input frame, and of a result. */
size_t hwquant_dma_frame_bytes(const struct hwquant_dma *core);
size_t hwquant_dma_result_bytes(const struct hwquant_dma *core);

enum hwquant_status hwquant_dma_open(const struct hwquant_dma *core);
enum hwquant_status hwquant_dma_infer(const struct hwquant_dma *core, const uint8_t *frame, uint8_t *result);
void hwquant_dma_memory(const struct hwquant_dma *core, uint32_t address);
uint32_t hwquant_dma_cycles(const struct hwquant_dma *core);

#ifdef HWQUANT_BUS
/* How a register is accessed, where that is not a load or a store of 32 bits. */
uint32_t hwquant_read(uintptr_t address);
void hwquant_write(uintptr_t address, uint32_t value);
#endif

#ifdef HWQUANT_CACHE
/* Write what the cache has of a frame to memory, and forget what it has of a result; both are complete on return. */
void hwquant_flush(const uint8_t *data, size_t bytes);
void hwquant_invalidate(uint8_t *data, size_t bytes);
#endif

#ifdef HWQUANT_BARRIER
/* Complete all accesses before it, of memory and registers, before any that follows: on Arm, a DSB. */
void hwquant_barrier(void);
#endif

#ifdef __cplusplus
}
#endif

#endif
