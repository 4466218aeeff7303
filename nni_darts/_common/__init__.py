"""Checks, messages, files, the metric and seeds: what every other room may use."""
