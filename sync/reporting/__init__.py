"""What a lead looks at: how the project stands, as numbers, on the terminal and as a picture."""
