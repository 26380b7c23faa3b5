"""Exams: multiple-choice questions found in documents and tables, checked by people, and given away."""
