"""Language modelling: its settings, data, networks and Lightning modules."""
