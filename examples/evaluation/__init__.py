"""Score a network and show its predictions: loading, protocol, report and pictures."""
