"""The pipeline: every stage from a loaded model to the files of a bundle."""
