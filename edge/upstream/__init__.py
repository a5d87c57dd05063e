"""What leaves the gateway: the resources, the places they go to, and what carries them there."""
