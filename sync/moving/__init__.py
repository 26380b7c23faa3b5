"""A project from one Argilla to another."""
