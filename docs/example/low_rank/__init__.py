"""A package of one's own that extends superdyn: a student, a value law, an update rule, measures and a judge."""
