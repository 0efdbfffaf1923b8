//! What hostile or broken changes meet before they reach the log.
