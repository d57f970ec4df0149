"""Open the known data sets by their names, and look through their files."""
