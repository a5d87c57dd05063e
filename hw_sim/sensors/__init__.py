"""Simulated sensors: real GATT servers worn by bodies or fed by recordings."""
