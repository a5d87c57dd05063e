"""Signal processing: arrays in, numbers out. No clock, no device, no I/O."""
