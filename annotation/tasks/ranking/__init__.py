"""The task "rank for cultural fit": its form and texts, and what rankings say of every two answers."""
