"""Glucose: what is computed from a CGM's readings."""
