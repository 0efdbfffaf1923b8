//! The office's figures, each with numerator, denominator and unknowns.
