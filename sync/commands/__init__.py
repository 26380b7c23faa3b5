"""The commands of everything that goes to Argilla and comes back."""
