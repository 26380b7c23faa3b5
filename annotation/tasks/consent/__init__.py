"""The task "consent": people are warned of what may hurt, and say whether they want to see it."""
