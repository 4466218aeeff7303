"""Cells and genotypes as data: parsing, formats, published cells, derivation."""
