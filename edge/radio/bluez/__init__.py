"""The system's Bluetooth service (BlueZ) beside bleak: whether it is there, and what helps when it is not."""
