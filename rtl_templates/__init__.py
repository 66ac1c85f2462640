"""The accelerator in Amaranth: components with parameters, each with its equation, latency and ports."""
