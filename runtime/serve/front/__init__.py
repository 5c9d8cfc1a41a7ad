"""The front of the server: Envoy, which reads every request whole and refuses what Triton does not survive."""
