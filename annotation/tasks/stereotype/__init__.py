"""The task "rate stereotypes": whether an association is known where a person lives, and how offensive it is."""
