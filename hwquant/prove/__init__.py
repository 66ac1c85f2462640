"""Proofs about the accelerator's components: for all inputs, and most of them for all cycles."""
