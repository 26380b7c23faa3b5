"""Text: cleaning, hidden characters, personal data, languages, countries, refusals."""
