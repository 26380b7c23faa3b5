"""Archives of a project: made, kept, checked and brought back."""
