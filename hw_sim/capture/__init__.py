"""What was heard of real sensors, read from files: our own captures, and those of BlueZ and Android."""
