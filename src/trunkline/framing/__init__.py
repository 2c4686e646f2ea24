"""Framing: bytes to whole records, strictly, in blocks whose borders depend on content."""
