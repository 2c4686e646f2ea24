"""The experiments: which ways are compared on which data.  Each module makes one; `ORDER` in `catalogue` names all."""
