"""``report.html``: what a bundle holds and how well, as one page that needs nothing beside itself."""
