//! One binary: the list of modules is the index.
