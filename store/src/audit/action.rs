//! What can be found in the audit trail.

/// Makes the actions and their texts from one table.
macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident: $text:literal;)*) => {
        /// What somebody did, or asked for. The texts are for ever; new ones may come.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $action,)*
        }

        impl Action {
            /// Every action, in the order of this list.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// As it stands in the trail.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$action => $text,)*
                }
            }
        }
    };
}

actions! {
    /// An account was opened.
    AccountOpened: "account.opened";
    /// An account was closed.
    AccountClosed: "account.closed";
    /// Money came into an account from outside.
    AccountFunded: "account.funded";
    /// A search was asked for as a file.
    OrdersExported: "orders.exported";
    /// A statement was asked for as a file.
    StatementExported: "statement.exported";
    /// A token was asked for.
    TokenIssued: "token.issued";
    /// Open orders were to be tried at once.
    OrdersRedriven: "orders.redriven";
    /// Dead letters were to be put back.
    LettersRedriven: "letters.redriven";
    /// The index was to be made anew.
    SearchRebuilt: "search.rebuilt";
    /// Orders were to be written to the index in use again.
    SearchWrittenAgain: "search.written_again";
    /// Searches were to go back to the index before.
    SearchSwitchedBack: "search.switched_back";
    /// The index beside was to be removed.
    SearchDiscarded: "search.discarded";
    /// Documents were to be written as their rows say.
    SearchRepaired: "search.repaired";
    /// The demo was to be played, with tokens of its own.
    DemoPlayed: "demo.played";
}
