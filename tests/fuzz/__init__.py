"""Fuzzing: every reader of files is given genuine files that were damaged, and may only accept or refuse them."""
