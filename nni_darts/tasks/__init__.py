"""Tasks that networks are trained for, and the settings of each."""
