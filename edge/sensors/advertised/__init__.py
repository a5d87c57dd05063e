"""Sensors that tell everything in their advertisements."""
