"""Runs of a trial: build the parts, search or train, and report."""
