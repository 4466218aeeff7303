"""Image classification: its settings, data, networks and Lightning modules."""
