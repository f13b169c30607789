//! What is done to the pipeline, and when: a pure function of the seed and the duration.

use crate::proxy::{Direction, Fault};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use stack::ServerName;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// So many faults may be at work at once.
const HANDS: usize = 3;

const SERVICES: [ServerName; 4] = [
    ServerName::OrderApi,
    ServerName::Consumer(1),
    ServerName::Consumer(2),
    ServerName::CdcSync,
];

const DATABASES: [ServerName; 2] = [ServerName::Mysql(0), ServerName::Mysql(1)];

/// The service that has a clock of its own.
pub(super) const WITH_OWN_CLOCK: ServerName = ServerName::Consumer(2);

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deed {
    /// SIGKILL, then a new start.
    Kill(ServerName),
    /// SIGSTOP, then SIGCONT.
    Pause(ServerName),
    /// The way to this server is disturbed.
    Network(ServerName, Fault),
    /// Redis forgets everything.
    Flush,
    /// An orderly stop, then a new start.
    Restart(ServerName),
    /// A database takes no writes.
    ReadOnly(ServerName),
    /// A service sees another time: seconds ahead, or behind.
    Clock(i64),
}

/// A deed with its time, from the beginning of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What is done.
    pub deed: Deed,
}

impl Deed {
    /// Whom it strikes; one at a time strikes the same.
    pub fn target(self) -> ServerName {
        match self {
            Self::Kill(name)
            | Self::Pause(name)
            | Self::Network(name, _)
            | Self::Restart(name)
            | Self::ReadOnly(name) => name,
            Self::Flush => ServerName::Redis,
            Self::Clock(_) => WITH_OWN_CLOCK,
        }
    }

    /// Its kind, by which the report counts: without figures.
    pub fn kind(self) -> String {
        let target = self.target();
        match self {
            Self::Kill(_) => format!("kill {target}"),
            Self::Pause(_) => format!("pause {target}"),
            Self::Network(_, fault) => format!("{} {target}", fault.name()),
            Self::Flush => format!("flush {target}"),
            Self::Restart(_) => format!("restart {target}"),
            Self::ReadOnly(_) => format!("read-only {target}"),
            Self::Clock(_) => format!("clock {target}"),
        }
    }

    /// What comes up again slowly is left alone for a while, or it would never be up.
    fn rest_s(self) -> u64 {
        match (self, self.target()) {
            (Self::Kill(_) | Self::Restart(_), ServerName::Elasticsearch) => 25,
            (Self::Kill(_) | Self::Restart(_), ServerName::Kafka) => 12,
            (Self::Kill(_) | Self::Restart(_), ServerName::Mysql(_)) => 8,
            (
                Self::Kill(_)
                | Self::Restart(_)
                | Self::Pause(_)
                | Self::Network(..)
                | Self::Flush
                | Self::ReadOnly(_)
                | Self::Clock(_),
                _,
            ) => 3,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(target, fault) => write!(f, "{target} {fault}"),
            Self::Clock(seconds) => write!(f, "{} {seconds:+} s", self.kind()),
            Self::Kill(_) | Self::Pause(_) | Self::Flush | Self::Restart(_) | Self::ReadOnly(_) => {
                f.write_str(&self.kind())
            }
        }
    }
}

/// The deeds of a run, in order. All have ended when the duration is over.
pub fn schedule(seed: u64, duration: Duration) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut planned = Vec::new();
    let mut hands = [Duration::ZERO; HANDS];
    let mut busy: HashMap<ServerName, Duration> = HashMap::new();
    loop {
        let free = hands.iter().copied().enumerate().min_by_key(|(_, at)| *at);
        let Some((hand, free)) = free else { break };
        let at = free + millis(&mut rng, 500, 2_500);
        let deed = any_deed(&mut rng);
        let lasts = millis(&mut rng, 300, 6_000);
        if at + lasts > duration {
            // Whatever comes later ends later still, or there is hardly room for it.
            if at + Duration::from_secs(1) > duration {
                break;
            }
            hands[hand] = at;
            continue;
        }
        hands[hand] = at + lasts;
        let target = deed.target();
        if busy.get(&target).is_some_and(|until| *until > at) {
            hands[hand] = at;
            continue;
        }
        busy.insert(target, at + lasts + Duration::from_secs(deed.rest_s()));
        planned.push(Planned { at, lasts, deed });
    }
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn any_deed(rng: &mut StdRng) -> Deed {
    match rng.random_range(0..100) {
        0..28 => Deed::Kill(any_process(rng)),
        28..48 => Deed::Pause(any_process(rng)),
        48..80 => Deed::Network(any(rng, &ServerName::SERVERS), any_fault(rng)),
        80..85 => Deed::Flush,
        85..90 => Deed::Restart(any(rng, &DATABASES)),
        90..95 => Deed::ReadOnly(any(rng, &DATABASES)),
        _ => {
            let seconds = rng.random_range(30..1_800);
            Deed::Clock(if rng.random() { seconds } else { -seconds })
        }
    }
}

fn any_fault(rng: &mut StdRng) -> Fault {
    match rng.random_range(0..8) {
        0 => Fault::Delay(millis(rng, 20, 600)),
        1 | 2 => Fault::Cut,
        3 | 4 => Fault::BlackHole,
        5 => Fault::HalfClose,
        6 => Fault::ResetAfter {
            direction: any(rng, &[Direction::Up, Direction::Down]),
            bytes: rng.random_range(1..20_000),
        },
        _ => Fault::Bandwidth {
            bytes_per_s: rng.random_range(5_000..200_000),
        },
    }
}

fn any_process(rng: &mut StdRng) -> ServerName {
    if rng.random() {
        any(rng, &SERVICES)
    } else {
        any(rng, &ServerName::SERVERS)
    }
}

fn any<T: Copy>(rng: &mut StdRng, among: &[T]) -> T {
    among[rng.random_range(0..among.len())]
}

fn millis(rng: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_MINUTES: Duration = Duration::from_secs(120);

    #[test]
    fn the_same_seed_makes_the_same_schedule_and_another_another() {
        assert_eq!(schedule(7, TWO_MINUTES), schedule(7, TWO_MINUTES));
        assert_ne!(schedule(7, TWO_MINUTES), schedule(8, TWO_MINUTES));
    }

    #[test]
    fn every_deed_has_ended_when_the_duration_is_over() {
        for seed in 0..50 {
            for planned in schedule(seed, TWO_MINUTES) {
                assert!(planned.at + planned.lasts <= TWO_MINUTES, "{planned:?}");
            }
        }
    }

    #[test]
    fn several_are_at_work_at_once_and_none_strikes_one_that_is_struck() {
        let planned = schedule(3, TWO_MINUTES);
        let meanwhile = |a: &Planned, b: &Planned| a.at < b.at + b.lasts && b.at < a.at + a.lasts;
        let mut together = 0;
        for (place, one) in planned.iter().enumerate() {
            for other in &planned[place + 1..] {
                if meanwhile(one, other) {
                    together += 1;
                    assert_ne!(one.deed.target(), other.deed.target());
                }
            }
        }
        assert!(planned.len() > 40, "{}", planned.len());
        assert!(together > 20, "{together}");
    }

    #[test]
    fn every_process_is_killed_and_paused_sooner_or_later() {
        let long = schedule(1, Duration::from_secs(3_600));
        for name in SERVICES.into_iter().chain(ServerName::SERVERS) {
            for deed in [Deed::Kill(name), Deed::Pause(name)] {
                assert!(long.iter().any(|planned| planned.deed == deed), "{deed}");
            }
        }
    }
}
