"""What stands between the network and Argilla, and what its page loads and shows."""
