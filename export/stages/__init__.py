"""The stages of an export, from a loaded model to the files of a bundle."""
