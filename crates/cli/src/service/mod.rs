//! A collector or the service as a process that stays: its process id, what it says of itself, and what the service
//! manager is told.

pub(crate) mod background;
pub(crate) mod notify;
pub(crate) mod pid;
pub(crate) mod server_pid;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod told;
pub(crate) mod watchdog;
