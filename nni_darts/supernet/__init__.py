"""Nodes and mixed operations of a space in NNI, and the choices they stand for."""
