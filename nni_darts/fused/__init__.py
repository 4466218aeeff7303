"""The supernet's cells, faster: planned once, then run so; see `fused.supernet.fuse`."""
