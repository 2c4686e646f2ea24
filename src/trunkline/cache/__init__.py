"""Redis as the cache: blocks in, blocks out, and every failure a miss."""
