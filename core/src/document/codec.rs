//! Content to document and back: the only place that knows keys.
