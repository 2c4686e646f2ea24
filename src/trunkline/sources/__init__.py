"""Sources: files, folders, archives, pipes and URLs as one kind of thing to read."""
