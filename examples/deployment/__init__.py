"""Export a trained network for other runtimes, independent of training and evaluation."""
