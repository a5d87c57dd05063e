"""Sensors that play what was captured of real ones."""
