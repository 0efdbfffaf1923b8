//! Of the engine.
