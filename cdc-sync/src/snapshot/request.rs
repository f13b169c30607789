//! What an operator wants of a snapshot: written down for the follower that acts.

use super::record::{Phase, Snapshot, Wanted, load, save};
use crate::index::index_behind;
use crate::rebuild::request::RequestError;
use crate::search_client::SearchClient;

/// How often a decision is made anew because the snapshot went on meanwhile.
const ATTEMPTS: usize = 20;

/// What asking for a snapshot came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It begins.
    Begun(Snapshot),
    /// The same one goes on already.
    Joined(Snapshot),
}

impl Asked {
    /// The snapshot that goes on now.
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Self::Begun(snapshot) | Self::Joined(snapshot) => snapshot,
        }
    }
}

/// Asks for a snapshot; joins one of the same orders that goes on already.
pub async fn snapshot(client: &SearchClient, wanted: &Wanted) -> Result<Asked, RequestError> {
    // Without the indices a request would make the one it is written to, with guessed types.
    index_behind(client, &client.names().alias).await?;
    for _ in 0..ATTEMPTS {
        let found = load(client).await?;
        let asked = decided(found.as_ref().map(|found| &found.document), wanted)?;
        let Asked::Begun(snapshot) = &asked else {
            return Ok(asked);
        };
        let ground = found.as_ref().map(|found| found.ground);
        if save(client, ground, snapshot).await?.is_some() {
            return Ok(asked);
        }
    }
    Err(too_quick())
}

/// Ends the snapshot that goes on; what is written stays.
pub async fn cancel(client: &SearchClient) -> Result<Snapshot, RequestError> {
    for _ in 0..ATTEMPTS {
        let found = load(client).await?;
        let next = cancelled(found.as_ref().map(|found| &found.document))?;
        let ground = found.as_ref().map(|found| found.ground);
        if save(client, ground, &next).await?.is_some() {
            return Ok(next);
        }
    }
    Err(too_quick())
}

fn decided(known: Option<&Snapshot>, wanted: &Wanted) -> Result<Asked, RequestError> {
    match known {
        Some(known) if known.phase.goes_on() && known.wanted == *wanted => {
            Ok(Asked::Joined(known.clone()))
        }
        Some(known) if known.phase.goes_on() => Err(RequestError::Refused(format!(
            "another snapshot goes on ({known}): wait for its end, or end it with `holdfast search \
             snapshot --cancel`"
        ))),
        Some(_) | None => {
            // Readers of other languages keep 53 bits of a number.
            let number = rand::random::<u64>() >> 11;
            Ok(Asked::Begun(Snapshot::wanted(number, wanted.clone())))
        }
    }
}

fn cancelled(known: Option<&Snapshot>) -> Result<Snapshot, RequestError> {
    match known.filter(|known| known.phase.goes_on()) {
        Some(known) => Ok(Snapshot {
            phase: Phase::Cancelled,
            ..known.clone()
        }),
        None => Err(RequestError::Refused(
            "no snapshot that was asked for goes on".into(),
        )),
    }
}

fn too_quick() -> RequestError {
    RequestError::Refused("the snapshot goes on too quickly to be changed; ask again".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shard: &str) -> Wanted {
        Wanted {
            shards: vec![shard.to_owned()],
            created: None,
        }
    }

    fn at(phase: Phase) -> Snapshot {
        Snapshot {
            phase,
            ..Snapshot::wanted(7, of("orders-0"))
        }
    }

    #[test]
    fn the_same_snapshot_is_joined_and_another_one_refused_while_one_goes_on() {
        for phase in [Phase::Wanted, Phase::Copying] {
            let known = at(phase);
            let asked = decided(Some(&known), &of("orders-0")).unwrap();
            assert_eq!(asked, Asked::Joined(known.clone()));
            let refused = decided(Some(&known), &of("orders-1")).unwrap_err();
            assert!(refused.to_string().contains("--cancel"), "{refused}");
        }
    }

    #[test]
    fn after_the_end_of_one_there_may_be_another() {
        for known in [None, Some(at(Phase::Done)), Some(at(Phase::Cancelled))] {
            let asked = decided(known.as_ref(), &of("orders-0")).unwrap();
            let Asked::Begun(snapshot) = asked else {
                panic!("{asked:?}");
            };
            assert_eq!(snapshot.phase, Phase::Wanted);
            assert!(known.is_none_or(|known| known.number != snapshot.number));
        }
    }

    #[test]
    fn only_what_goes_on_is_cancelled() {
        for phase in [Phase::Wanted, Phase::Copying] {
            assert_eq!(cancelled(Some(&at(phase))).unwrap().phase, Phase::Cancelled);
        }
        for phase in [Phase::Done, Phase::Cancelled] {
            assert!(cancelled(Some(&at(phase))).is_err());
        }
        assert!(cancelled(None).is_err());
    }
}
