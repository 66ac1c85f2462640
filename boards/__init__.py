"""Boards and processes: device, resources, clock, pins, host link and tool flow, one module each."""
