"""A gateway and a simulated home, set up together."""
