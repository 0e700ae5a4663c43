//! The arguments of the commands that run the service.

use super::Server;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What `estreamer server --help` ends with.
pub(crate) const SERVER_HELP: &str = "\
Examples:
  estreamer server --home /var/lib/estreamer
  estreamer server --home /var/lib/estreamer --nodaemon --debug
  ESTREAMER_HOME=/var/lib/estreamer estreamer server

Without --nodaemon it runs in the background and the command returns when it listens; the log is log/server.log in the
home, or what the settings say. With --nodaemon lines go to the terminal; where standard error is no terminal, and
without --debug, they go where the settings say. `estreamer manage` stops, restarts, reloads it and says how it is
doing. SIGHUP reads the settings again, SIGTERM ends all sessions and the service.";

/// What `estreamer manage --help` ends with.
pub(crate) const MANAGE_HELP: &str = "\
Examples:
  estreamer manage --home /var/lib/estreamer             (a menu)
  estreamer manage status --home /var/lib/estreamer
  estreamer manage 4 --home /var/lib/estreamer           (restart, by its number)
  echo 2 | estreamer manage --home /var/lib/estreamer

Numbers: 1 status, 2 stop, 3 start, 4 restart, as in manage_estreamer.pl of an appliance; 5 reload is a choice of this
program, since its number there is not known. 0 or q leaves the menu. Each waits until what it says is so.
A restart keeps the options the service was started with. A service that systemd runs is neither started, stopped nor
restarted here: use systemctl.
Exit codes: 0 done (status: it runs), 1 failed (reload: the new settings were rejected, the old ones stay in force),
2 wrong arguments, 3 it does not run (status, reload). The menu ends with the code of what was done last.";

#[derive(Debug, Args)]
pub(crate) struct Manage {
    /// What to do [default: ask, with a menu]
    #[arg(value_enum, value_name = "ACTION")]
    pub(crate) action: Option<Action>,
    /// The server's home
    #[arg(long, value_name = "DIR", env = "ESTREAMER_HOME", hide_env_values = true)]
    pub(crate) home: PathBuf,
    /// Print the status as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be done to the service, in the order of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Say whether it runs and how it is doing
    #[value(alias = "1")]
    Status,
    /// End all sessions and the service
    #[value(alias = "2")]
    Stop,
    /// Start it in the background
    #[value(alias = "3", alias = "enable")]
    Start,
    /// Stop it and start it again with the same options
    #[value(alias = "4")]
    Restart,
    /// Read settings and certificates again
    #[value(alias = "5")]
    Reload,
}

impl Server {
    /// The options as they are given on a command line, without home and `--nodaemon`.
    pub(crate) fn options(&self) -> Vec<String> {
        // All fields by name: a new option must not be forgotten at a restart.
        let Server { home: _, nodaemon: _, listen, admin, debug, nohostcheck } = self;
        let mut options: Vec<String> = listen.iter().flat_map(|a| ["--listen".to_owned(), a.to_string()]).collect();
        options.extend(admin.iter().flat_map(|a| ["--admin".to_owned(), a.to_string()]));
        for (set, flag) in [(debug, "--debug"), (nohostcheck, "--nohostcheck")] {
            if *set {
                options.push(flag.to_owned());
            }
        }
        options
    }
}
