//! In memory: for tests and simulation.
