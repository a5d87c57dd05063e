"""Questions from this machine: the status document, and the socket that answers with it."""
