"""Lineage: where everything in a project came from, where it went, and what `annot forget` takes out for good."""
