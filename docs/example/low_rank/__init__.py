"""A package of one's own that extends superdyn: a student and a value law."""
