"""A user package that extends superdyn with a student, a value law, an update rule, measures and a judge."""
