"""The store: everything the gateway must not forget, in one encrypted database."""
