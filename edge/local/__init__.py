"""Who asks on this machine: the socket and the status document."""
