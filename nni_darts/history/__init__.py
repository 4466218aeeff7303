"""The record of a run, epoch by epoch: the object, its text for NNI and CSV, its cells."""
