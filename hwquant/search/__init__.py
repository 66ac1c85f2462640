"""Mixed precision chosen by test accuracy (CN116720550A): a search over bits per layer."""
