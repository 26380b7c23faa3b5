"""Stereotypes that people know: collected, rated, turned into minimal pairs, and given away for evaluation alone."""
