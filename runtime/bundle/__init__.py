"""The bundle on disk: schema, hashes, atomic write."""
