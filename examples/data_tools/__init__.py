"""Open the known data sets by name, and check their files."""
