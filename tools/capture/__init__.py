"""`vitalgate capture`: records what a gateway hears, and says what captures hold."""
