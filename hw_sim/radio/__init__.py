"""The air, controllers and hosts between simulated sensors and a gateway."""
