"""Engines compiled for this device: their key, their choice, their folder."""
