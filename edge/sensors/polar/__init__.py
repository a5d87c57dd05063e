"""Polar sensors: a heart strap that also streams ECG, acceleration and pulse intervals (Polar Measurement Data)."""
