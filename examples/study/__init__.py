"""Many rows over several seeds: recipes, their runner, what watches them, and tables."""
