"""Whole gateways in homes that are drawn from seeds: what must hold in each, and which seed breaks it."""
