"""Prompts from any table: which column is what, cleaning, languages, duplicates."""
