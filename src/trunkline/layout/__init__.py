"""Layouts: what one kind of CSV means, from TOML files to checked models."""
