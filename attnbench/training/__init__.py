"""Training a pack: the data in, its outcomes out. It knows no grid, no tracker, no engine and no screen."""
