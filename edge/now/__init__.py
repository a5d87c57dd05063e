"""What is known at this moment."""
