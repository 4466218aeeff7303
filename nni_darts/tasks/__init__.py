"""What networks are trained for, and the settings of each task."""
