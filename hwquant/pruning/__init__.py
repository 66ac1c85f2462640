"""Group pruning on the L1 norm along the channel direction (CN111242287A)."""
