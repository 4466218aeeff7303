"""Trainer options, checkpoints, devices and counting, for searches and trainings."""
