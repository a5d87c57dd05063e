"""`vitalgate decode`: what a packet says."""
