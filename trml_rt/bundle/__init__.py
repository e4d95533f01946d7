"""The bundle: the folder on disk where everything meets, and the files in it."""
