/* Sets the stack, copies what is initialized, clears the rest, and calls main. */
    .section .start, "ax"
    .globl _start
_start:
    la sp, _stack
    la a0, _data
    la a1, _edata
    la a2, _data_rom
1:  bgeu a0, a1, 2f
    lw a3, 0(a2)
    sw a3, 0(a0)
    addi a0, a0, 4
    addi a2, a2, 4
    j 1b
2:  la a1, _ebss
3:  bgeu a0, a1, 4f
    sw zero, 0(a0)
    addi a0, a0, 4
    j 3b
4:  call main
5:  j 5b
