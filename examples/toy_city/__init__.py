"""The parts of `toy_city.py`: a grammar of streets, a rasterizer and two looks."""
