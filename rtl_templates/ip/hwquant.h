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

#include <stddef.h>
#include <stdint.h>

/* What a call ends with. */
enum hwquant_status {
    HWQUANT_OK = 0,
    HWQUANT_NOT_FOUND,     /* no hwquant core of this version answers */
    HWQUANT_OTHER_PROGRAM, /* the core has another program than the software expects */
    HWQUANT_TIMEOUT,       /* nothing happened while the driver asked `patience` times */
    HWQUANT_STOPPED,       /* the core met an illegal instruction */
    HWQUANT_DROPPED        /* the core dropped the frame: it ended early or late */
};

/* The network of a core, as software sees it. */
struct hwquant_network {
    uint32_t identity, version, checksum; /* what the registers of these names must say */
    uint32_t beats, beat_bytes;           /* of an input frame */
    uint32_t words, word_bytes;           /* of a result */
};

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

#endif
