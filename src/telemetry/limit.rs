//! What the gate limits, so that nobody takes it from the others: one list. `docs/operations.md` has a line for each.

/// An enum from one list, so that no limit can be without its name in the metric.
macro_rules! limits {
    ($($(#[$meaning:meta])* $limit:ident = $name:literal,)*) => {
        /// What is limited.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Limit {
            $($(#[$meaning])* $limit,)*
        }

        impl Limit {
            pub const ALL: &[Self] = &[$(Self::$limit,)*];

            /// Its name in the metric.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$limit => $name,)*
                }
            }
        }
    };
}

limits! {
    /// An access token that took too long to get.
    AccessToken = "access_token",
    /// A bundle that came while the gate rested after the last that it has judged.
    Activations = "activations",
    /// The answer to a creation that is too long to be read for what it made.
    Birth = "birth",
    /// One that did not arrive in time for that.
    BirthTimeout = "birth_timeout",
    /// Memory for bodies that are read whole.
    Bodies = "bodies",
    /// The same, of one address.
    BodiesPerAddress = "bodies_per_address",
    /// A guarded request's body that is too long.
    Body = "body",
    /// A body that did not arrive in time.
    BodyTimeout = "body_timeout",
    /// Callers whose budgets are remembered.
    Buckets = "buckets",
    /// Judged requests that wait for the challenger.
    Challenger = "challenger",
    /// Connections at once.
    Connections = "connections",
    /// Connections of one address at once.
    ConnectionsPerAddress = "connections_per_address",
    /// Logins at an issuer that have begun.
    ConsoleBegun = "console_begun",
    /// Downloads of decisions from the console at once.
    ConsoleDownloads = "console_downloads",
    /// One that took too long.
    ConsoleDownloadTimeout = "console_download_timeout",
    /// People who look on at once, as decisions come.
    ConsoleLive = "console_live",
    /// Logins to the console that somebody tries in vain.
    ConsoleLogins = "console_logins",
    /// Pages of the console that are made at once.
    ConsolePages = "console_pages",
    /// A page of the console that took too long.
    ConsolePageTimeout = "console_page_timeout",
    /// Decisions in one download.
    ConsoleRows = "console_rows",
    /// People who have logged in to the console.
    ConsoleSessions = "console_sessions",
    /// Denials of one caller that are recorded.
    Denials = "denials",
    /// Files and sockets of the process.
    Descriptors = "descriptors",
    /// Evaluations in one question of an operator.
    Evaluations = "evaluations",
    /// Addresses that are read of what a proxy says about its client.
    ForwardedHops = "forwarded_hops",
    /// What of the journal is searched for a grant.
    GrantJournal = "grant_journal",
    /// Files of grants that are looked at.
    Grants = "grants",
    /// Guarded requests at once.
    GuardedInFlight = "guarded_in_flight",
    /// The same, of one address.
    GuardedInFlightPerAddress = "guarded_in_flight_per_address",
    /// The same, of one caller.
    GuardedInFlightPerCaller = "guarded_in_flight_per_caller",
    /// A client that has closed its side and cannot be told anything.
    HalfCloseTimeout = "half_close_timeout",
    /// A TLS handshake that takes too long.
    HandshakeTimeout = "handshake_timeout",
    /// A head that takes too much work to read.
    HeadWork = "head_work",
    /// The head of a request that takes too long.
    HeaderTimeout = "header_timeout",
    /// Frames of HTTP/2 that carry nothing.
    Http2Control = "http2_control",
    /// Requests of HTTP/2 that their client gives up.
    Http2Resets = "http2_resets",
    /// Requests of one connection of HTTP/2 at once.
    Http2Streams = "http2_streams",
    /// Requests at once.
    InFlight = "in_flight",
    /// The same, of one address.
    InFlightPerAddress = "in_flight_per_address",
    /// The same, of one caller that has proven who it is.
    InFlightPerCaller = "in_flight_per_caller",
    /// A record that was not on disk in time.
    JournalTimeout = "journal_timeout",
    /// Requests of one caller that wait to be judged.
    JudgeQueue = "judge_queue",
    /// A request that waited too long to be judged.
    JudgeTimeout = "judge_timeout",
    /// Keys for JSON Web Tokens that are too old to be used.
    JwksAge = "jwks_age",
    /// An answer with keys that is too long, or has too many of them.
    JwksAnswer = "jwks_answer",
    /// A key that is not fetched, because one was asked for a moment ago.
    JwksPause = "jwks_pause",
    /// Keys that took too long to fetch.
    JwksTimeout = "jwks_timeout",
    /// Requests that wait for keys.
    JwksWaiting = "jwks_waiting",
    /// The same, of one address.
    JwksWaitingPerAddress = "jwks_waiting_per_address",
    /// A JSON Web Token that is too long, or says too much.
    Jwt = "jwt",
    /// Requests that wait for the signature of a token to be checked.
    JwtSignatures = "jwt_signatures",
    /// The same, of one address.
    JwtSignaturesPerAddress = "jwt_signatures_per_address",
    /// A client that goes on sending after its answer.
    Linger = "linger",
    /// A line of the log that is too long.
    LogLine = "log_line",
    /// Lines of the log that wait to be written.
    LogQueue = "log_queue",
    /// A token that took too long to look up.
    Lookup = "lookup",
    /// An answer to a lookup that is no token's size.
    LookupAnswer = "lookup_answer",
    /// Free space that only allowed changes may use.
    MinFree = "min_free",
    /// Traces that wait to be sent.
    OtlpQueue = "otlp_queue",
    /// Traces or metrics that were not taken in time.
    OtlpTimeout = "otlp_timeout",
    /// A path that is too long.
    Path = "path",
    /// The header of the PROXY protocol that is too long.
    ProxyHeader = "proxy_header",
    /// One that did not arrive in time.
    ProxyTimeout = "proxy_timeout",
    /// An answer to a question of an operator that is too long.
    QuestionAnswer = "question_answer",
    /// A question of an operator that is too long.
    QuestionBody = "question_body",
    /// One that did not arrive in time.
    QuestionTimeout = "question_timeout",
    /// Questions of operators at once.
    Questions = "questions",
    /// Allowed reads of one caller that are recorded.
    Reads = "reads",
    /// Callers of whom is remembered what they did within the last hour.
    RecentCallers = "recent_callers",
    /// Refusals of one caller that are recorded.
    Refusals = "refusals",
    /// A denial without a search for the part that would pass.
    Remedy = "remedy",
    /// An answer of which the client takes nothing.
    StalledAnswer = "stalled_answer",
    /// A body of which the client sends nothing.
    StalledUpload = "stalled_upload",
    /// The tests of policies that were read again.
    Tests = "tests",
    /// A text in a record or in the log.
    Text = "text",
    /// A body or an answer of which too little moves.
    TooSlow = "too_slow",
    /// Turns of a token among several gates.
    Turn = "turn",
    /// Kinds of unknown writes that are counted by themselves.
    Unseen = "unseen",
    /// An answer of the upstream that does not go on.
    UpstreamBody = "upstream_body",
    /// A connection that took too long to make.
    UpstreamConnect = "upstream_connect",
    /// Connections to one upstream at once.
    UpstreamConnections = "upstream_connections",
    /// An answer of the upstream whose head is too long.
    UpstreamHead = "upstream_head",
    /// An upstream that does not take a request, or does not answer it.
    UpstreamResponse = "upstream_response",
    /// Objections that an answer does not show.
    Violations = "violations",
    /// Warnings that an answer does not show.
    Warnings = "warnings",
    /// The answer that an entrypoint wrote.
    WrittenAnswer = "written_answer",
}
