"""The whole gateway: what it costs, beside a script of today."""
