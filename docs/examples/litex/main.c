/* Classifies images with an hwquant core, and prints a class a line. images.h has IMAGES, CLASSES and the frames. */
#include <generated/csr.h>
#include <generated/mem.h>

#include "hwquant.h"
#include "images.h"
#include NETWORK

#define REGISTER(address) (*(volatile uint32_t *)(address))

static void put(char letter) {
    while (REGISTER(CSR_UART_TXFULL_ADDR))
        ;
    REGISTER(CSR_UART_RXTX_ADDR) = (uint8_t)letter;
}

static void print(const char *text) {
    while (*text)
        put(*text++);
}

static void print_number(uint32_t value) {
    if (value >= 10)
        print_number(value / 10);
    put((char)('0' + value % 10));
}

int main(void) {
    const struct hwquant core = {ACCELERATOR_BASE, &net_network, 100000};
    static uint8_t result[64];
    enum hwquant_status status = hwquant_open(&core);
    uint32_t image, n;
    for (image = 0; image < IMAGES && status == HWQUANT_OK; image++) {
        uint32_t best = 0;
        status = hwquant_infer(&core, images[image], result);
        for (n = 1; n < CLASSES; n++)
            if ((int8_t)result[n] > (int8_t)result[best])
                best = n;
        print("class ");
        print_number(best);
        print(" cycles ");
        print_number(hwquant_cycles(&core));
        print("\n");
    }
    print("status ");
    print_number((uint32_t)status);
    print("\n");
    REGISTER(CSR_MAIN_DONE_ADDR) = 1;
    for (;;)
        ;
}
