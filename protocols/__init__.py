"""Bytes to values and back, and procedures as state machines without I/O.

Contract: every `decode` returns a value or raises `errors.DecodeError`, whatever the bytes; time is an
argument. Not here: radio, clocks, asyncio, logging, or anything about a particular gateway.
"""
