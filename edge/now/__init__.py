"""The newest values in memory, for alerts and status."""
