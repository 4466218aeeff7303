"""The search strategy: architect, Lightning module, CUDA graphs, random state."""
