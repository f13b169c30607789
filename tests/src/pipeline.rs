//! The whole pipeline on real servers, one test at a time.

use crate::Client;
use anyhow::{Context, Result, bail};
use domain::IdKey;
use stack::{ServerName, Stack};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

/// How long a backlog of one test may take to drain before the test fails.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(180);

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The servers and services of the test stack, and how to talk to them.
pub struct Pipeline {
    /// The servers by handle.
    pub stack: Stack,
    http: reqwest::Client,
}

/// The pipeline for as long as one test has it.
pub struct PipelineGuard {
    pipeline: Pipeline,
    _alone: MutexGuard<'static, ()>,
}

impl Deref for PipelineGuard {
    type Target = Pipeline;
    fn deref(&self) -> &Pipeline {
        &self.pipeline
    }
}

impl Pipeline {
    /// Everything up and running, whatever the test before left behind.
    pub async fn up() -> Result<PipelineGuard> {
        let alone = ONE_AT_A_TIME.lock().await;
        let root = std::env::var("HOLDFAST_TEST_STACK")
            .context("HOLDFAST_TEST_STACK names no stack; run this suite by `make test`")?;
        let pipeline = Self::on(Stack::open(&PathBuf::from(root))?)?;
        pipeline.start_whatever_is_down().await?;
        Ok(PipelineGuard {
            pipeline,
            _alone: alone,
        })
    }

    /// The pipeline of a stack, running or not.
    pub fn on(stack: Stack) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(40))
            .build()?;
        Ok(Self { stack, http })
    }

    /// Everything up and running as it is meant to, whatever was done to it.
    pub async fn start_whatever_is_down(&self) -> Result<()> {
        self.give_services_more(&[])?;
        self.undo_disguises().await?;
        for extra in ServerName::EXTRA_SERVICES {
            self.stack.handle(extra).stop().await?;
        }
        self.stack.up_servers().await?;
        self.holdfast(&["setup"]).await?;
        self.stack.up_services().await?;
        Ok(())
    }

    /// Services that see proxies in the place of servers, or a time of their own, start anew.
    async fn undo_disguises(&self) -> Result<()> {
        let proxied = self.stack.let_services_see_servers();
        for name in ServerName::all().filter(|name| name.is_service()) {
            let service = self.stack.handle(name);
            if proxied || service.has_own_clock() {
                service.forget_clock();
                service.stop().await?;
            }
        }
        Ok(())
    }

    /// Lays these variables over the services' settings, from their next start on.
    pub fn give_services_more(&self, variables: &[(&str, &str)]) -> Result<()> {
        let lines: String = variables
            .iter()
            .map(|(k, v)| format!("export {k}='{v}'\n"))
            .collect();
        std::fs::write(self.stack.layout().service_env(), lines)?;
        Ok(())
    }

    /// Stops and starts a service, so that it reads its settings anew.
    pub async fn restart(&self, name: &str) -> Result<()> {
        let server = self.stack.server(name)?;
        server.stop().await?;
        server.start().await?;
        Ok(())
    }

    /// Runs the operator's command; its standard output when it succeeds.
    pub async fn holdfast(&self, args: &[&str]) -> Result<String> {
        let (output, code) = self.try_holdfast(args).await?;
        if code != 0 {
            bail!(
                "`holdfast {}` exited with {code}:\n{output}",
                args.join(" ")
            );
        }
        Ok(output)
    }

    /// Runs the operator's command; its standard output and exit code.
    pub async fn try_holdfast(&self, args: &[&str]) -> Result<(String, i32)> {
        let layout = self.stack.layout();
        let output = Command::new(layout.bin().join("holdfast"))
            .args(args)
            .envs(self.stack.env().variables())
            .current_dir(layout.root())
            .stdin(Stdio::null())
            .output()
            .await
            .context("cannot run `holdfast`; is it built?")?;
        let code = output.status.code().unwrap_or(-1);
        if !output.stderr.is_empty() {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok((String::from_utf8(output.stdout)?, code))
    }

    /// A client with a token of this merchant (none: the back office) and these scopes.
    pub async fn client(
        &self,
        tenant: &str,
        merchant: Option<&str>,
        scopes: &[&str],
    ) -> Result<Client> {
        let mut args = vec!["token", "--tenant", tenant];
        args.extend(
            merchant
                .into_iter()
                .flat_map(|merchant| ["--merchant", merchant]),
        );
        args.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let token = self.holdfast(&args).await?.trim().to_owned();
        Ok(Client::new(
            self.http.clone(),
            self.stack.env().api_url.clone(),
            token,
        ))
    }

    /// The key of derived ids, to know the id of a request that got no answer.
    pub fn id_key(&self) -> Result<IdKey> {
        let path = self.stack.layout().secrets().join("order-id.key");
        Ok(IdKey::from_hex(&std::fs::read_to_string(path)?)?)
    }

    /// Waits until nothing is in flight, then asserts INV-1 to INV-7 by name.
    pub async fn assert_invariants(&self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + DRAIN_TIMEOUT;
        loop {
            let (report, code) = self.try_holdfast(&["verify", "--json"]).await?;
            let verdict = crate::invariants::judge(&report, code)?;
            match verdict {
                crate::invariants::Verdict::Holds => return Ok(()),
                crate::invariants::Verdict::InFlight(what)
                    if tokio::time::Instant::now() > deadline =>
                {
                    bail!("still in flight after {DRAIN_TIMEOUT:?}: {what}")
                }
                crate::invariants::Verdict::InFlight(_) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
}
