"""Candidates: drafted by Cohere or another model, or read from a file written elsewhere."""
