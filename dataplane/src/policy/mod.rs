//! Verdicts: facts in, a verdict out. Law: never acts.
