"""Realistic call logs of any size, clean or dirty."""
