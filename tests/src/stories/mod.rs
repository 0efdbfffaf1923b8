//! One module a story.
