"""``attnexport serve --demo``: a web page that runs a served model on an image."""
