"""The gateway: radio in, summaries out. The only package that does I/O, reads clocks and uses the network."""
