"""Score a network and show what it does: protocol, report, pictures, weights from a file."""
