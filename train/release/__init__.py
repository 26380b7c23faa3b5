"""Releases: a finished run given away as an adapter or a model."""
