"""Devices that are used, connect, deliver and hang up: meters, oximeters, thermometers, cuffs and scales."""
