"""A trained network as a file for another runtime; knows nothing of training or evaluation."""
