"""Argilla's search engine, answered from Argilla's own tables."""
