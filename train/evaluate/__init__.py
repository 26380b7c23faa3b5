"""The evaluation of a finished run: measures, the gate, the report."""
