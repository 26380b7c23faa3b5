"""The task "rank descriptions": which of them knows the culture that a picture is of."""
