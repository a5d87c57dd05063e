"""Devices that are used, advertise for a while, deliver and hang up."""
