"""Truncation to fixed point, with parity tested operator by operator."""
