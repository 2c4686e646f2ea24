"""The books: the account of a load, how it is written and how it is read back."""
