"""Composes the rooms: the command line, one process or many."""
