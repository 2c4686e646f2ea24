"""What became of records: sources and books are proved against the tables, and single records are explained."""
