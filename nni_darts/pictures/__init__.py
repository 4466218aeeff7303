"""Cells, weights over epochs and animations, drawn from genotypes and history."""
