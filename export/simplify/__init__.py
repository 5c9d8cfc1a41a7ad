"""Rewrites of the captured graph that hold for every target, before windows are recognised."""
