//! The operations that the rounds run on a shard's set.

use crate::set::SetOperation;
use crate::{
    Begun, Branch, Claimed, Decision, Ending, FinishOutcome, Participant, Pass, Postponement,
    ShardId, SqlFault, State, TransactionLog, TryOutcome,
};
use sqlx::mysql::MySqlConnection;
use std::time::Duration;

/// Round 1.
pub(crate) struct Begin<'a, L>(pub &'a L);

impl<L: TransactionLog> SetOperation for Begin<'_, L> {
    const NAME: &'static str = "begin";
    type Item = L::Record;
    type Answer = Begun;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[L::Record],
        pass: Pass,
    ) -> Result<Vec<Begun>, SqlFault> {
        self.0.begin(conn, items, pass).await
    }
}

/// Round 2.
pub(crate) struct Try<'a, P>(pub &'a P);

impl<P: Participant> SetOperation for Try<'_, P> {
    const NAME: &'static str = "try";
    type Item = Branch<P::Payload>;
    type Answer = TryOutcome;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[Branch<P::Payload>],
        pass: Pass,
    ) -> Result<Vec<TryOutcome>, SqlFault> {
        self.0.try_reserve(conn, items, pass).await
    }
}

/// Round 3, and the look at where things stand for whoever came second.
pub(crate) struct Decide<'a, L: TransactionLog> {
    pub log: &'a L,
    /// The records that the items name.
    pub records: &'a [L::Record],
}

/// What to decide of a record; nothing: only look.
pub(crate) struct ToDecide {
    pub record: usize,
    pub decision: Option<Decision>,
}

impl<L: TransactionLog> SetOperation for Decide<'_, L> {
    const NAME: &'static str = "decide";
    type Item = ToDecide;
    type Answer = Begun;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[ToDecide],
        _pass: Pass,
    ) -> Result<Vec<Begun>, SqlFault> {
        let decisions: Vec<Decision> = items.iter().filter_map(|item| item.decision).collect();
        let states = match decisions.is_empty() {
            true => Vec::new(),
            false => self.log.decide(conn, &decisions).await?,
        };
        let mut states = states.into_iter();
        let stands = items
            .iter()
            .map(|item| item.decision.and_then(|of| as_asked(of, &mut states)));
        let mut stands: Vec<Option<Begun>> = stands.collect();

        let is_open = |place: &usize| stands[*place].is_none();
        let open: Vec<usize> = (0..items.len()).filter(is_open).collect();
        if !open.is_empty() {
            let record = |place: &usize| self.records[items[*place].record].clone();
            let records: Vec<L::Record> = open.iter().map(record).collect();
            let found = self.log.begin(conn, &records, Pass::Again).await?;
            for (place, begun) in open.into_iter().zip(found) {
                stands[place] = Some(begun);
            }
        }
        // Answers short of the items are noticed by whoever counts them.
        Ok(stands.into_iter().flatten().collect())
    }
}

/// What the log says, if it is what was asked for.
pub(crate) fn as_asked(
    decision: Decision,
    states: &mut impl Iterator<Item = State>,
) -> Option<Begun> {
    let verdict = decision.verdict;
    (states.next()? == verdict.state()).then(|| Begun::Logged {
        state: verdict.state(),
        reason: verdict.reason(),
        overdue: None,
    })
}

/// Round 4 of what was decided to be confirmed.
pub(crate) struct Confirm<'a, P>(pub &'a P);

impl<P: Participant> SetOperation for Confirm<'_, P> {
    const NAME: &'static str = "confirm";
    type Item = Branch<P::Payload>;
    type Answer = FinishOutcome;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[Branch<P::Payload>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        self.0.confirm(conn, items, pass).await
    }
}

/// Round 4 of what was decided to be cancelled.
pub(crate) struct Cancel<'a, P>(pub &'a P);

impl<P: Participant> SetOperation for Cancel<'_, P> {
    const NAME: &'static str = "cancel";
    type Item = Branch<P::Payload>;
    type Answer = FinishOutcome;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[Branch<P::Payload>],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        self.0.cancel(conn, items, pass).await
    }
}

/// Round 5.
pub(crate) struct End<'a, L>(pub &'a L);

impl<L: TransactionLog> SetOperation for End<'_, L> {
    const NAME: &'static str = "end";
    type Item = Ending;
    type Answer = State;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[Ending],
        _pass: Pass,
    ) -> Result<Vec<State>, SqlFault> {
        self.0.end(conn, items).await
    }
}

/// After the rounds, for what did not end.
pub(crate) struct Postpone<'a, L>(pub &'a L);

impl<L: TransactionLog> SetOperation for Postpone<'_, L> {
    const NAME: &'static str = "postpone";
    type Item = Postponement;
    type Answer = ();

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[Postponement],
        _pass: Pass,
    ) -> Result<Vec<()>, SqlFault> {
        self.0.postpone(conn, items).await?;
        Ok(vec![(); items.len()])
    }
}

/// How many of a log shard are stuck; its one item is from how many attempts on.
pub(crate) struct CountStuck<'a, L> {
    pub log: &'a L,
    pub shard: ShardId,
    pub rows_max: u32,
}

impl<L: TransactionLog> SetOperation for CountStuck<'_, L> {
    const NAME: &'static str = "count";
    type Item = u32;
    type Answer = u64;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[u32],
        _pass: Pass,
    ) -> Result<Vec<u64>, SqlFault> {
        let Self {
            log,
            shard,
            rows_max,
        } = self;
        let mut counts = Vec::with_capacity(items.len());
        for attempts in items {
            let count = log.count_attempted(conn, *shard, *attempts, *rows_max);
            counts.push(count.await?);
        }
        Ok(counts)
    }
}

/// A sweeper's lease of a page; its one item is the page.
pub(crate) struct Claim<'a, L> {
    pub log: &'a L,
    pub shard: ShardId,
}

/// The size of a page and how long it is the sweeper's own.
pub(crate) struct PageSize {
    pub limit: u32,
    pub lease: Duration,
}

impl<L: TransactionLog> SetOperation for Claim<'_, L> {
    const NAME: &'static str = "claim";
    type Item = PageSize;
    type Answer = Vec<Claimed<L::Record>>;

    async fn run(
        &self,
        conn: &mut MySqlConnection,
        items: &[PageSize],
        _pass: Pass,
    ) -> Result<Vec<Vec<Claimed<L::Record>>>, SqlFault> {
        let mut pages = Vec::with_capacity(items.len());
        for page in items {
            pages.push(
                self.log
                    .claim_due(conn, self.shard, page.limit, page.lease)
                    .await?,
            );
        }
        Ok(pages)
    }
}
