"""The embedded Argilla seen from our side: its processes, home, address, environment and database."""
