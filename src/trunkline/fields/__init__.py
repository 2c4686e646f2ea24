"""Fields: one vectorised parser per type, from text to values and faults."""
