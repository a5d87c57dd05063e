"""The gateway on the real Bluetooth stack: kernel, bluetoothd and D-Bus in a guest, the simulated sensors here."""
