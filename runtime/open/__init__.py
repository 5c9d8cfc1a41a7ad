"""Open a bundle for running: choose a file and a backend, check that an engine fits this machine."""
