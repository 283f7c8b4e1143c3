"""Search in trees of decisions."""
