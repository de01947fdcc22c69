"""Fields: density as a function of position, whose parameters are the payload."""
