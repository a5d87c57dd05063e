"""Benchmarks: figures with the command that reproduces them."""
