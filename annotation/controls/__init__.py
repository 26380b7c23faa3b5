"""Control items: those of which the answer is known, among the work and in entry tests."""
