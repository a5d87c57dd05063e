"""The gateway: radio in, summaries out. The only room with I/O, clocks and a network."""
