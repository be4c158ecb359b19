//! What all commands share that speak to peers.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::pin,
    time::Duration,
};

use clap::Args;
use rustor_tokio::{Client, ClientConfig, StartError, core::choices::RateLimits};
use tokio::{
    runtime::{Builder, Runtime},
    time::sleep,
};

use crate::{
    failure::Failure,
    output::Output,
    signals::{Signals, exit_at_once},
};

/// Ports that are tried where none is asked for: those that people have opened in their routers for such programs.
const USUAL_PORTS: std::ops::RangeInclusive<u16> = 6881..=6889;

/// How to be reached by peers.
#[derive(Debug, Args)]
pub(crate) struct Network {
    /// Port to be reached on; 0 for any that is free [default: the first free one from 6881 to 6889]
    #[arg(long, value_name = "N", help_heading = "Network")]
    port: Option<u16>,
    /// Address of this machine to be reached on; may be given several times [default: all]
    #[arg(long = "listen", value_name = "ADDR", help_heading = "Network")]
    addresses: Vec<IpAddr>,
    /// Folder for what is remembered from one run to the next [default: the system's place for such things]
    #[arg(long, value_name = "DIR", help_heading = "Network")]
    state_dir: Option<PathBuf>,
    /// Write down all that happens, the data itself left out, for 'rustor replay'. Names and addresses stand in it
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    record: Option<PathBuf>,
    /// With --record: put others in place of addresses and of the URLs of trackers and web seeds, passkeys included, always the same for
    /// the same. Names of torrents and files, paths, ports and the addresses of private networks stay
    #[arg(long, requires = "record", help_heading = "Network")]
    mask_addresses: bool,
}

impl Network {
    /// A running engine, whose torrents together are no faster than `rates`. Must be called on a runtime.
    pub(crate) fn start(&self, output: &Output, rates: RateLimits) -> Result<Client, Failure> {
        let mut config = ClientConfig::default();
        config.engine.limits.rates = rates;
        if !self.addresses.is_empty() {
            config.listen.clone_from(&self.addresses);
        }
        if let Some(folder) = &self.state_dir {
            config.state_folder = Some(folder.clone());
        }
        config.record.clone_from(&self.record);
        config.mask_addresses = self.mask_addresses;
        // Nobody wants to wait for a tracker on the way out.
        config.engine.announcer.stop_timeout = Duration::from_secs(2);
        let client = match self.port {
            Some(port) => rustor_tokio::start(ClientConfig { port, ..config }).map_err(failure)?,
            None => on_usual_port(config)?,
        };
        output.detail(format_args!("listening on {}", addresses(client.listen_addresses())));
        Ok(client)
    }
}

fn on_usual_port(config: ClientConfig) -> Result<Client, Failure> {
    for port in USUAL_PORTS.chain([0]) {
        match rustor_tokio::start(ClientConfig { port, ..config.clone() }) {
            Err(StartError::Listen { error, .. }) if error.kind() == std::io::ErrorKind::AddrInUse && port != 0 => {}
            started => return started.map_err(failure),
        }
    }
    Err(Failure::new("no port is free to listen on"))
}

fn failure(error: StartError) -> Failure {
    match &error {
        StartError::Listen { error: system, .. } if system.kind() == std::io::ErrorKind::AddrInUse => {
            Failure::new(format_args!("{error}; --port 0 takes any that is free"))
        }
        _ => Failure::new(error),
    }
}

/// Several addresses in one line.
pub(crate) fn addresses(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Runs a command on a runtime of one thread, which the engine shares: the shortest way for a block.
pub(crate) fn run<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().map_err(|error| Failure::about("cannot start", error))?;
    let result = runtime.block_on(command);
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Tells trackers, saves, and closes everything; at once where that is asked for meanwhile.
pub(crate) async fn shut_down(client: &Client, signals: &mut Signals, output: &Output) {
    let mut shutdown = pin!(client.shutdown());
    let slow = async {
        sleep(Duration::from_secs(1)).await;
        output.note("waiting for trackers and disks; Ctrl-C ends at once");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = &mut shutdown => {}
        () = signals.next() => exit_at_once(output),
        () = slow => {}
    }
}
