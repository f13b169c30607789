//! Puts dead letters back on the commands' topic in sets, or tells which would be.

use super::outlet::{Outlet, Restored};
use super::shelf::{Survey, original_value};
use super::{Letters, NAMED_MAX, Progress};
use crate::dead_letter;
use crate::kafka_log::LogError;
use crate::settings::Settings;
use anyhow::{Context, bail};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use service::kafka::KafkaSettings;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Redrives these letters.
pub async fn run(settings: &Settings, wanted: &Letters, yes: bool) -> anyhow::Result<ExitCode> {
    let (kafka, asked) = (settings.kafka.clone(), wanted.clone());
    let survey = tokio::task::spawn_blocking(move || Survey::read(&kafka, &asked)).await?;
    let survey = match survey {
        Ok(survey) => Arc::new(survey),
        Err(LogError::NoTopic(topic)) => bail!("there is no topic {topic}: run `holdfast setup`"),
        Err(error) => return Err(error.into()),
    };
    let mut run = Run {
        kafka: &settings.kafka,
        survey: &survey,
        outlet: yes.then(|| Outlet::open(&settings.kafka)).transpose()?,
        met: Met::default(),
        progress: Progress::new(),
    };
    for id in survey.without_letter(wanted) {
        run.met.refused += 1;
        println!("{id} has no dead letter");
    }
    run.all_sets(wanted).await?;
    if let Some(refusal) = nothing_there(wanted, &run.met) {
        run.met.refused += 1;
        println!("{refusal}");
    }
    print!("{}", told(&run.met, yes));
    Ok(match run.met.refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    })
}

struct Run<'a> {
    kafka: &'a KafkaSettings,
    survey: &'a Arc<Survey>,
    /// None in a dry run.
    outlet: Option<Outlet>,
    met: Met,
    progress: Progress,
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    classes: BTreeMap<String, u64>,
    named: Vec<String>,
    letters: u64,
    sent: u64,
    refused: u64,
}

impl Run<'_> {
    async fn all_sets(&mut self, wanted: &Letters) -> anyhow::Result<()> {
        // One set is sent while the next is read.
        let (sender, mut sets) = mpsc::channel(1);
        let (survey, kafka) = (self.survey.clone(), self.kafka.clone());
        let wanted = wanted.clone();
        let reading =
            tokio::task::spawn_blocking(move || survey.read_letters(&kafka, &wanted, &sender));
        while let Some(set) = sets.recv().await {
            self.met.note(&set, self.survey);
            if self.outlet.is_some() {
                self.send(set).await?;
            }
            self.progress.at(self.met.letters, "dead letters");
        }
        Ok(reading.await??)
    }

    async fn send(&mut self, set: Vec<OwnedMessage>) -> anyhow::Result<()> {
        let mut whole = Vec::with_capacity(set.len());
        for letter in set {
            match self.restored(letter).await? {
                Ok(restored) => whole.push(restored),
                Err(refusal) => {
                    self.met.refused += 1;
                    println!("{refusal}");
                }
            }
        }
        let outlet = self.outlet.as_ref().context("a dry run sends nothing")?;
        let sent = outlet.send(whole).await?;
        self.met.sent += sent.letters;
        if let Some(failure) = sent.failure {
            bail!(
                "{} dead letters were put back, then one was not acknowledged ({failure}): \
                 run it again for the rest",
                self.met.sent
            );
        }
        Ok(())
    }

    /// The letter with its value, or why that is gone.
    async fn restored(&self, letter: OwnedMessage) -> anyhow::Result<Result<Restored, String>> {
        let Some(place) = dead_letter::value_is_at(&letter) else {
            let value = letter.payload().map(<[u8]>::to_vec);
            return Ok(Ok(Restored { letter, value }));
        };
        let kafka = self.kafka.clone();
        let read = tokio::task::spawn_blocking(move || {
            let value = original_value(&kafka, &letter, &place);
            value.map(|value| (letter, place, value))
        });
        let (letter, (topic, partition, offset), value) = read.await??;
        Ok(match value {
            Some(value) => Ok(Restored {
                letter,
                value: Some(value),
            }),
            None => Err(format!(
                "{} cannot be put back: its value was too long to be kept here, and {topic} \
                 partition {partition} offset {offset} does not hold it any more",
                dead_letter::described(&letter)
            )),
        })
    }
}

impl Met {
    fn note(&mut self, set: &[OwnedMessage], survey: &Survey) {
        for letter in set {
            self.letters += 1;
            *self.classes.entry(dead_letter::class(letter)).or_default() += 1;
            if self.named.len() < NAMED_MAX {
                let again = match survey.was_redriven(letter) {
                    true => " (was put back before)",
                    false => "",
                };
                let described = dead_letter::described(letter);
                self.named.push(format!("  {described}{again}"));
            }
        }
    }
}

/// Whoever names one place and meets no letter there is told so.
fn nothing_there(wanted: &Letters, met: &Met) -> Option<String> {
    match wanted {
        Letters::At { partition, offset } if met.letters == 0 => Some(format!(
            "partition {partition} offset {offset} holds no dead letter"
        )),
        Letters::At { .. } | Letters::Named(_) | Letters::OfClass(_) | Letters::All => None,
    }
}

fn told(met: &Met, yes: bool) -> String {
    if met.letters == 0 {
        return "No dead letter is like that, or all were put back before.\n".to_owned();
    }
    let classes = met.classes.iter();
    let classes: String = classes
        .map(|(class, count)| format!("  {count:>8}  {class}\n"))
        .collect();
    if yes {
        return format!("{} dead letters were put back:\n{classes}", met.sent);
    }
    format!(
        "{} dead letters would be put back:\n{classes}The first of them:\n{}\n\
         Nothing was sent. Mend their causes first, or they become dead letters again; then run it \
         again with --yes.\n",
        met.letters,
        met.named.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_letter_is_refused_and_a_class_without_one_is_not() {
        let at = Letters::At {
            partition: 0,
            offset: 7,
        };
        let none = Met::default();
        let one = Met {
            letters: 1,
            ..Met::default()
        };
        let refusal = nothing_there(&at, &none).unwrap();
        assert!(refusal.contains("partition 0 offset 7"), "{refusal}");
        assert_eq!(nothing_there(&at, &one), None);
        assert_eq!(nothing_there(&Letters::All, &none), None);
    }
}
