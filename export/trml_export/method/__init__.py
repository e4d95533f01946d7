"""The TRML model, its generators and its losses."""
