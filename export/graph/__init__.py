"""Graph helpers that every stage shares: integer values, shapes, round trips, origins."""
