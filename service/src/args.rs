//! The command line that every service takes.

use crate::settings::{SettingsError, load, print};
use clap::Parser;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// Settings come from the service's default, then this file, then `HOLDFAST__SECTION__KEY`.
#[derive(Debug, Parser)]
pub struct Args {
    /// A TOML file laid over the defaults.
    #[arg(long, env = "HOLDFAST_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print the settings that would be used, secrets masked, and exit.
    #[arg(long)]
    pub print_config: bool,
}

impl Args {
    /// The settings, or `None` when they were only to be printed.
    pub fn settings<S>(&self, default_toml: &'static str) -> Result<Option<S>, SettingsError>
    where
        S: DeserializeOwned + Serialize,
    {
        let settings: S = load(default_toml, self.config.as_deref())?;
        if !self.print_config {
            return Ok(Some(settings));
        }
        println!("{}", print(&settings)?);
        Ok(None)
    }
}
