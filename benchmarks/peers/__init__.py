"""Scripts that load a call log with other programs, run by the Python of the peers' own environment.

Each is called with the file, the URL of the database and the table.  It does what its program's manual shows for the
task, in the quickest way that we found, with all types as trunkline has them.
"""
