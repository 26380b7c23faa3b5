"""The page of `annot report`: how a project stands, as one HTML file that needs nothing else."""
