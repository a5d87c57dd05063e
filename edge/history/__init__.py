"""Periods that are over: their summaries."""
