"""Heart: RR intervals, their time axis, and what is computed from them."""
