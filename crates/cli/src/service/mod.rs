//! A collector as a service: its process id, what it says of itself, and what the service manager is told.

pub(crate) mod notify;
pub(crate) mod pid;
pub(crate) mod status;
