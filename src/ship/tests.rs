//! What arrives, whatever the server does.
