"""Pairing: how a sensor and this machine come to share a key, and what is done when one of them has lost it."""
