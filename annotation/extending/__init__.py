"""Extending a set: which groups of prompts are thin, and prompts that a model proposes for them."""
