"""``attnexport serve --demo``: a page where one drops an image and sees what a served model makes of it."""
