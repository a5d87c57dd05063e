"""Real dongles and real gateways: which there are, who has them at the moment, and scenarios played on the air."""
