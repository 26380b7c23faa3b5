"""Base models: loading them, tiny ones for tests, and what they write."""
