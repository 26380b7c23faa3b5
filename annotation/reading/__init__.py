"""Any table, file or Hub dataset as rows: the reader of prompts, answers and rosters."""
