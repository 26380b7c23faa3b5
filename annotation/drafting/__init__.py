"""Candidates: drafted by Cohere, or read from a file written elsewhere."""
