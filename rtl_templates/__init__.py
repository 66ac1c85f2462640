"""The accelerator in Amaranth: components with their equations, latencies, throughputs and ports."""
