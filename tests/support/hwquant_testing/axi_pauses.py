"""Pauses of buses in cocotbext-axi, inside the simulator."""

import random


def pauses(chance, seed):
    rng = random.Random(seed)
    while True:
        yield rng.random() < chance


def pause(bus, chance, seed=0, others=()):
    """Let each channel of an AXI bus pause at random, and others behind them."""
    write, read = bus.write_if, bus.read_if
    channels = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
    for number, channel in enumerate([*channels, *others], seed):
        channel.set_pause_generator(pauses(chance, number))
