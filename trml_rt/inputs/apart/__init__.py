"""Decode in a child process: what crashes, hangs or swells there costs one error here."""
