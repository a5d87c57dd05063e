"""Glucose by HTTP, from servers that people run anyway: Nightscout, xDrip+ and Juggluco."""
