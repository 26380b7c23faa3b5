"""The talk about a run: five minutes of slides with their words, timed, as Markdown, HTML and PDF."""
