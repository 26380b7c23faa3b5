"""The task "share stereotypes": people write down what is said where they live; others then rate it."""
