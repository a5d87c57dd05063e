"""What people type: the command line, set-up, benchmarks. Nothing imports this room."""
