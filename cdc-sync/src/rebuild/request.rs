//! What an operator wants of a rebuild: written down for the follower that acts.

use super::record::{Phase, Rebuild, load, save};
use crate::index::index_behind;
use crate::search_client::{SearchClient, SearchError};

/// How often a decision is made anew because the rebuild went on meanwhile.
const ATTEMPTS: usize = 20;

/// Why it cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not as things stand.
    #[error("{0}")]
    Refused(String),
    /// Elasticsearch does not answer, or refuses.
    #[error("elasticsearch: {0}")]
    Search(#[from] SearchError),
}

/// Asks for a rebuild; joins one that goes on already. `accepts_differences` takes the new index even
/// where it differs from the old one.
pub async fn rebuild(
    client: &SearchClient,
    accepts_differences: bool,
) -> Result<Rebuild, RequestError> {
    let old = index_behind(client, &client.names().alias).await?.name;
    let decide = |known: Option<&Rebuild>| {
        let goes_on = known.map(|known| joined(known, accepts_differences));
        let goes_on = goes_on.transpose()?.flatten();
        Ok(goes_on.unwrap_or_else(|| {
            Rebuild::requested(old.clone(), next_name(&old), accepts_differences)
        }))
    };
    ask(client, decide).await
}

/// Asks for the alias to go back to the index that it named before.
pub async fn switch_back(client: &SearchClient) -> Result<Rebuild, RequestError> {
    ask(client, switched_back).await
}

/// Asks for the index beside to be removed: the old one, or a new one that is not in use.
pub async fn discard(client: &SearchClient) -> Result<Rebuild, RequestError> {
    ask(client, discarded).await
}

/// What a rebuild that is known becomes by asking for one; none where it is a new one.
fn joined(known: &Rebuild, accepts_differences: bool) -> Result<Option<Rebuild>, RequestError> {
    let mut next = known.clone();
    next.accepts_differences |= accepts_differences;
    match known.phase {
        Phase::Requested | Phase::Filling | Phase::Comparing | Phase::Switching => Ok(Some(next)),
        Phase::Differs if accepts_differences => {
            next.phase = Phase::Comparing;
            Ok(Some(next))
        }
        Phase::Differs | Phase::Done => Ok(None),
        Phase::Switched | Phase::SwitchingBack => Err(RequestError::Refused(format!(
            "{} of the last rebuild is still kept beside {}; remove it with `holdfast search discard` \
             first",
            known.from, known.to
        ))),
        Phase::Discarding => Err(RequestError::Refused(
            "the index beside is being removed at this moment; ask again".into(),
        )),
    }
}

fn switched_back(known: Option<&Rebuild>) -> Result<Rebuild, RequestError> {
    let known = known.ok_or_else(nothing_beside)?;
    match known.phase {
        Phase::Switched | Phase::SwitchingBack => Ok(Rebuild {
            phase: Phase::SwitchingBack,
            ..known.clone()
        }),
        Phase::Requested
        | Phase::Filling
        | Phase::Comparing
        | Phase::Switching
        | Phase::Differs => Err(RequestError::Refused(format!(
            "the alias still names {}: {} is not in use yet",
            known.from, known.to
        ))),
        Phase::Discarding | Phase::Done => Err(nothing_beside()),
    }
}

fn discarded(known: Option<&Rebuild>) -> Result<Rebuild, RequestError> {
    let known = known.ok_or_else(nothing_beside)?;
    match known.phase {
        Phase::Done => Err(nothing_beside()),
        Phase::Switching | Phase::SwitchingBack => Err(RequestError::Refused(
            "searches go over at this moment; ask again".into(),
        )),
        Phase::Requested
        | Phase::Filling
        | Phase::Comparing
        | Phase::Differs
        | Phase::Switched
        | Phase::Discarding => Ok(Rebuild {
            phase: Phase::Discarding,
            ..known.clone()
        }),
    }
}

fn nothing_beside() -> RequestError {
    RequestError::Refused("there is no index beside the one in use".into())
}

/// Writes down what is decided on the rebuild as it stands; where it goes on meanwhile, decides again.
async fn ask(
    client: &SearchClient,
    decide: impl Fn(Option<&Rebuild>) -> Result<Rebuild, RequestError>,
) -> Result<Rebuild, RequestError> {
    for _ in 0..ATTEMPTS {
        let found = load(client).await?;
        let known = found.as_ref().map(|found| &found.document);
        let next = decide(known)?;
        let ground = found.as_ref().map(|found| found.ground);
        if known == Some(&next) || save(client, ground, &next).await?.is_some() {
            return Ok(next);
        }
    }
    Err(RequestError::Refused(
        "the rebuild goes on too quickly to be changed; ask again".into(),
    ))
}

/// `orders-v2` after `orders-v1`.
fn next_name(index: &str) -> String {
    let numbered = index.rsplit_once("-v");
    let numbered = numbered.and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
    match numbered {
        Some((stem, number)) => format!("{stem}-v{}", number.saturating_add(1)),
        None => format!("{index}-v2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_index_has_the_next_number() {
        for (index, next) in [
            ("orders-v1", "orders-v2"),
            ("orders-v9", "orders-v10"),
            ("t7-orders-v2", "t7-orders-v3"),
            ("orders", "orders-v2"),
            ("orders-vx", "orders-vx-v2"),
        ] {
            assert_eq!(next_name(index), next);
        }
    }

    fn at(phase: Phase) -> Rebuild {
        Rebuild {
            phase,
            ..Rebuild::requested("orders-v1".into(), "orders-v2".into(), false)
        }
    }

    #[test]
    fn a_rebuild_that_goes_on_is_joined() {
        for phase in [
            Phase::Requested,
            Phase::Filling,
            Phase::Comparing,
            Phase::Switching,
        ] {
            assert_eq!(joined(&at(phase), false).unwrap(), Some(at(phase)));
            let accepting = joined(&at(phase), true).unwrap().unwrap();
            assert!(accepting.accepts_differences && accepting.phase == phase);
        }
    }

    #[test]
    fn one_that_differs_is_taken_when_asked_to_and_made_anew_otherwise() {
        let taken = joined(&at(Phase::Differs), true).unwrap().unwrap();
        assert_eq!(taken.phase, Phase::Comparing);
        assert_eq!(joined(&at(Phase::Differs), false).unwrap(), None);
        assert_eq!(joined(&at(Phase::Done), false).unwrap(), None);
    }

    #[test]
    fn what_goes_over_at_this_moment_is_not_discarded() {
        for phase in [Phase::Switching, Phase::SwitchingBack, Phase::Done] {
            assert!(discarded(Some(&at(phase))).is_err());
        }
        assert!(discarded(None).is_err());
        let next = discarded(Some(&at(Phase::Switched))).unwrap();
        assert_eq!(next.phase, Phase::Discarding);
    }

    #[test]
    fn while_the_old_index_is_kept_there_is_no_third() {
        for phase in [Phase::Switched, Phase::SwitchingBack, Phase::Discarding] {
            assert!(joined(&at(phase), true).is_err());
        }
    }
}
