"""The one seam to Argilla: what annot needs of it, and the real server over REST and the SDK."""
