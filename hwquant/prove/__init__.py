"""Proofs about the accelerator's components: for all inputs, and for all cycles where nothing else is said."""
