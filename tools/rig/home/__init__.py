"""The gateway and the world around it, in virtual time."""
