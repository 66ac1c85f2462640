/* Driver of an hwquant core on a memory-mapped Wishbone bus, in C99 without a library. hwquant.c explains the calls.
 *
 * NAME_network.h, which `hwquant core` writes for a core, has the network that it computes:
 *
 *     struct hwquant core = {.registers = BASE, .network = &NAME_network, .patience = 1000000};
 *     enum hwquant_status status = hwquant_open(&core);
 *     if (status == HWQUANT_OK)
 *         status = hwquant_infer(&core, frame, result);
 */
#ifndef HWQUANT_H
#define HWQUANT_H

#include "hwquant_core.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hwquant {
    uintptr_t registers; /* address of the first register */
    const struct hwquant_network *network;
    uint32_t patience; /* how often the driver asks before it gives up */
};

/* Bytes of an input frame, and of a result. */
size_t hwquant_frame_bytes(const struct hwquant *core);
size_t hwquant_result_bytes(const struct hwquant *core);

enum hwquant_status hwquant_open(const struct hwquant *core);
void hwquant_start(const struct hwquant *core);
enum hwquant_status hwquant_send(const struct hwquant *core, const uint8_t *frame);
enum hwquant_status hwquant_receive(const struct hwquant *core, uint8_t *result);
enum hwquant_status hwquant_infer(const struct hwquant *core, const uint8_t *frame, uint8_t *result);
uint32_t hwquant_cycles(const struct hwquant *core);

#ifdef HWQUANT_BUS
/* How a register is accessed, where that is not a load or a store of 32 bits. */
uint32_t hwquant_read(uintptr_t address);
void hwquant_write(uintptr_t address, uint32_t value);
#endif

#ifdef __cplusplus
}
#endif

#endif
