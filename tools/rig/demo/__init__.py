"""What `vitalgate demo` is made of."""
