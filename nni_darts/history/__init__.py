"""The record of a search, epoch by epoch: its keys, its cells, its CSV file."""
