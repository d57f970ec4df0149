"""Train many rows over several seeds: recipes, a runner, a monitor and tables."""
