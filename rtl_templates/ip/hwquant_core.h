/* What the drivers of hwquant cores have in common. */
#ifndef HWQUANT_CORE_H
#define HWQUANT_CORE_H

#include <stddef.h>
#include <stdint.h>

/* What a call ends with. */
enum hwquant_status {
    HWQUANT_OK = 0,
    HWQUANT_NOT_FOUND,     /* no hwquant core of this version answers */
    HWQUANT_OTHER_PROGRAM, /* the core has another program than the software expects */
    HWQUANT_TIMEOUT,       /* nothing happened while the driver asked `patience` times */
    HWQUANT_STOPPED,       /* the core met an illegal instruction */
    HWQUANT_DROPPED,       /* the core dropped the frame: it ended early or late */
    HWQUANT_DMA_ERROR      /* the DMA met an error: an address, or more bytes than were asked for */
};

/* The network of a core, as software sees it. */
struct hwquant_network {
    uint32_t identity, version, checksum; /* what the registers of these names must say */
    uint32_t beats, beat_bytes;           /* of an input frame, as software gives it */
    uint32_t words, word_bytes;           /* of a result, likewise */
    uint64_t memory_bytes;                /* of external memory that belong to the core; 0 where it has none */
};

#endif
