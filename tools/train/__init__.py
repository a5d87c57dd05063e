"""Trains what `dsp` has learned from recordings."""
