"""Plays scenarios, and says how it went."""
