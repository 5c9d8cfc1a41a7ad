"""``report.html``: one self-contained page that shows the content and the accuracy of a bundle."""
