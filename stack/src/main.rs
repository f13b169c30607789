//! `holdfast-stack`: the local servers on the command line.

use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use stack::{Progress, ServerName, ServerStatus, Stack, StackOptions, StopOutcome};

/// Starts, stops, kills, pauses and shows the local servers and our services.
#[derive(Debug, Parser)]
#[command(name = "holdfast-stack", version)]
struct Arguments {
    /// The folder of the stack.
    #[arg(long, global = true, default_value = ".local")]
    root: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the servers; make the stack when there is none.
    Up {
        /// Also run `holdfast setup` (migrations, topics, index) and start our services.
        #[arg(long)]
        services: bool,
        /// Begin anew: empty data, other ports.
        #[arg(long)]
        fresh: bool,
    },
    /// Stop our services, then the servers.
    Down,
    /// Stop everything and remove the data.
    Wipe,
    /// Show what runs.
    Status,
    /// Start one, on the data it has, and wait until it is ready.
    Start {
        /// Its name.
        name: ServerName,
    },
    /// Stop one in order (SIGTERM, and SIGKILL when it takes too long).
    Stop {
        /// Its name.
        name: ServerName,
    },
    /// Kill one (SIGKILL).
    Kill {
        /// Its name.
        name: ServerName,
    },
    /// Freeze one (SIGSTOP).
    Pause {
        /// Its name.
        name: ServerName,
    },
    /// Let a frozen one go on (SIGCONT).
    Resume {
        /// Its name.
        name: ServerName,
    },
    /// Show the end of one's log.
    Logs {
        /// Its name.
        name: ServerName,
        /// Go on showing what is added.
        #[arg(short, long)]
        follow: bool,
        /// How many lines to begin with.
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Action::Up { services, fresh } = arguments.action {
        if fresh {
            forget(&arguments.root).await?;
        }
        let stack = Stack::create(&arguments.root, StackOptions::default()).await?;
        return up(&stack, services).await;
    }
    let stack = Stack::open(&arguments.root)?;
    match arguments.action {
        Action::Up { .. } => {}
        Action::Down => stack.down_with(show).await?,
        Action::Wipe => stack.wipe_data().await?,
        Action::Status => status(&stack)?,
        Action::Start { name } => start(&stack, name).await?,
        Action::Stop { name } => show(
            name,
            Progress::Stopped(stack.handle(name).stop().await?, Duration::ZERO),
        ),
        Action::Kill { name } => stack.handle(name).kill().await?,
        Action::Pause { name } => stack.handle(name).pause()?,
        Action::Resume { name } => stack.handle(name).resume()?,
        Action::Logs {
            name,
            follow,
            lines,
        } => logs(&stack, name, follow, lines).await?,
    }
    Ok(())
}

/// Removes what a stack keeps, if there is one, so that the next is made anew.
async fn forget(root: &Path) -> anyhow::Result<()> {
    if root.join("stack.env").is_file() {
        let stack = Stack::open(root)?;
        stack.wipe_data().await?;
        std::fs::remove_file(stack.layout().stack_env())?;
    }
    Ok(())
}

async fn up(stack: &Stack, services: bool) -> anyhow::Result<()> {
    stack.start_all(&ServerName::SERVERS, show).await?;
    if services {
        set_up_stores(stack)?;
        stack.start_all(&stack.services(), show).await?;
    }
    eprintln!("  addresses      {}", stack.layout().stack_env().display());
    Ok(())
}

async fn start(stack: &Stack, name: ServerName) -> anyhow::Result<()> {
    let begun = Instant::now();
    stack.handle(name).start().await?;
    show(name, Progress::Ready(begun.elapsed()));
    Ok(())
}

/// Migrations, topics and the index, by the operator's command.
fn set_up_stores(stack: &Stack) -> anyhow::Result<()> {
    let program = stack.layout().bin().join("holdfast");
    let status = Command::new(&program)
        .arg("setup")
        .envs(stack.env().variables())
        .status()
        .with_context(|| {
            format!(
                "cannot run {}: `make up` builds and installs it",
                program.display()
            )
        })?;
    if !status.success() {
        bail!("`holdfast setup` failed ({status})");
    }
    Ok(())
}

fn show(name: ServerName, progress: Progress) {
    match progress {
        Progress::Starting if std::io::stderr().is_terminal() => eprintln!("  {name:<14} starting"),
        Progress::Starting | Progress::Stopped(StopOutcome::WasStopped, _) => {}
        Progress::Ready(time) => eprintln!("  {name:<14} ready after {:.1} s", time.as_secs_f64()),
        Progress::Stopped(StopOutcome::Orderly, _) => eprintln!("  {name:<14} stopped"),
        Progress::Stopped(StopOutcome::Killed, _) => {
            eprintln!("  {name:<14} did not stop in time and was killed")
        }
    }
}

fn status(stack: &Stack) -> anyhow::Result<()> {
    let mut table = format!("{}\n", ServerStatus::HEADING);
    for name in ServerName::all() {
        table.push_str(&format!("{}\n", stack.handle(name).status()));
    }
    std::io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

async fn logs(stack: &Stack, name: ServerName, follow: bool, lines: usize) -> anyhow::Result<()> {
    let path = stack.layout().log(name);
    let mut file = std::fs::File::open(&path).with_context(|| format!("{name} has no log yet"))?;
    file.seek(SeekFrom::End(0))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", stack.handle(name).log_tail(lines))?;
    if !follow {
        return Ok(());
    }
    loop {
        let mut added = Vec::new();
        file.read_to_end(&mut added)?;
        out.write_all(&added)?;
        out.flush()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
