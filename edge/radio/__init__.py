"""The radio: scanning, connecting, and one session for each sensor."""
