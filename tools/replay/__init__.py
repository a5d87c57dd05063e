"""`vitalgate alert replay`: rules of alerts, tried on the history that a gateway has kept."""
