"""The compiler: an integer network to memory images and instructions, and when the hardware executes them."""
