"""`vitalgate analyse`: what recordings say."""
