"""Draw results as pictures. Every function takes plain results, and needs matplotlib only then."""
