//! `estreamer server`.

use crate::arguments::Server as Arguments;
use crate::exit::{Exit, Failure, say};
use crate::service::background::{self, DETACHED, target_name};
use crate::service::notify::Notify;
use crate::service::server_pid::{PidFile, State, state};
use crate::service::told::Told;
use crate::service::{socket, watchdog};
use admin::Admin;
use server::log::{Lines, Target};
use server::{Handle, Home, Options, Server, Settings};
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How long the last lines have to reach syslog.
const LAST_LINES: Duration = Duration::from_secs(2);

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let home = Home::open(&arguments.home)?;
    if arguments.nodaemon {
        return foreground(arguments, home);
    }
    match state(&home) {
        State::Running(pid) => {
            let home = home.dir().display();
            return Err(Failure::new(format!("the service of {home} is running already (pid {pid})")));
        }
        State::Starting | State::Stopped => {}
    }
    let pid = background::start(&home, &arguments.options())?;
    say(format_args!("The service runs (pid {pid}); its log is {}", background::log_name(&home)));
    Ok(Exit::Done)
}

fn foreground(arguments: &Arguments, home: Home) -> Result<Exit, Failure> {
    let settings = home.settings()?;
    let detached = std::env::var_os(DETACHED).is_some();
    if detached {
        background::detach();
    }
    let target = target(arguments, &home, &settings, detached);
    let level = if arguments.debug { tracing::Level::DEBUG } else { settings.log_level.into() };
    let failed = |e| Failure::new(format!("the log {} cannot be opened: {e}", target_name(&target)));
    let lines = Lines::to(&target, settings.log_facility, level).map_err(failed)?.with_format(settings.log_format);
    let log = lines.control();
    tracing_subscriber::registry().with(lines).init();
    let options = Options {
        listen: Some(arguments.listen.clone()).filter(|l| !l.is_empty()),
        no_host_check: arguments.nohostcheck,
        log: Some(log.clone()),
        level_fixed: arguments.debug,
        ..Options::default()
    };
    let pid_file = PidFile::lock(&home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let server = Server::bind(home.clone(), options)?;
        let mut told = Told::new(server.handle(), home.clone(), Notify::from_environment());
        (told.options, told.background, told.log) = (arguments.options(), detached, target_name(&target));
        told.admin = administer(server.handle(), home.clone(), arguments);
        serve(server, Arc::new(told), &pid_file).await
    });
    socket::remove(&home);
    log.flush(LAST_LINES);
    ended
}

/// Starts the administration page and API. The service goes on without, whatever is wrong with them; gives why then.
fn administer(handle: Handle, home: Home, arguments: &Arguments) -> Result<Admin, String> {
    let listen = Some(arguments.admin.clone()).filter(|l| !l.is_empty());
    let admin = Admin::new(home, handle, admin::Options { listen, ..admin::Options::default() });
    let admin = admin.map_err(|error| error.to_string());
    match &admin {
        Ok(admin) => drop(tokio::spawn(admin.clone().run(std::future::pending()))),
        Err(error) => tracing::error!("The administration page is not there: {error}"),
    }
    admin
}

/// Serves until a signal ends it.
async fn serve(server: Server, told: Arc<Told>, pid_file: &PidFile) -> Result<Exit, Failure> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    match socket::listen(&told.home) {
        Ok(listener) => drop(tokio::spawn(socket::serve(listener, told.clone()))),
        Err(error) => {
            tracing::warn!(
                "run/server.sock cannot be made: {error}. \"estreamer manage\" can neither reload nor tell much"
            );
        }
    }
    pid_file.write()?;
    let reloading = told.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reloading.reload();
        }
    });
    told.notify.ready();
    if told.notify.is_there() {
        let told = told.clone();
        std::thread::Builder::new().name("watchdog".into()).spawn(move || watchdog::run(&told))?;
    }
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.notify.stopping();
        })
        .await;
    Ok(Exit::Done)
}

/// Where lines go. In the foreground they are for the terminal, if there is one; in the background there is none.
fn target(arguments: &Arguments, home: &Home, settings: &Settings, detached: bool) -> Target {
    if detached {
        background::log_target(home)
    } else if arguments.debug || std::io::stderr().is_terminal() {
        Target::StandardError
    } else {
        settings.log_target(home.dir())
    }
}
