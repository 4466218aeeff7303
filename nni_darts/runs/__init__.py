"""What a trial does: build the parts of a run, search or train, and report."""
