"""Which layout is this file, and what would a layout for an unknown one look like?"""
