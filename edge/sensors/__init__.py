"""What is said to each kind of sensor, and what is kept of it."""
