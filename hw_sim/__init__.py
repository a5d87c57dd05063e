"""The outside world of the gateway: bodies, sensors, radio and faults. The product never imports it."""
