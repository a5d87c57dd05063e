"""What must be true of a play, and whether it was."""
