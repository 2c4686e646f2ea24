"""Settings: from flags, environment and file to checked values, and what they choose."""
