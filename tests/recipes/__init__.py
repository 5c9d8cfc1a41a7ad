"""Made-up entries for the tests that walk the recipes of docs/design.md."""
