//! What answers, by subject.

pub(crate) mod archive;
pub(crate) mod clients;
pub(crate) mod domains;
pub(crate) mod events;
pub(crate) mod hosts;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod overview;
pub(crate) mod rates;
pub(crate) mod sensors;
pub(crate) mod sessions;
