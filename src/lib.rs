//! dtgate: the policy gate in front of the Dynatrace API.
//!
//! A reverse proxy. Requests that change an API token are read whole, understood, judged by Rego
//! policies, recorded durably, and only then forwarded or refused. Everything else streams through.
//!
//! ```text
//! listen ─ admit ─ route ─┬─ open traffic ────────────────────────────────────────────► forward (streamed)
//!                         └─ guarded: read ─ understand ─ look up ─ judge ─ record ─┬─► forward ─ record outcome ─► answer
//!                                                                                   └─► refuse (ErrorEnvelope)
//! ```
//!
//! A guarded request becomes a sequence of values, each of which can only be made from the one before:
//! [`guard::Head`] → [`guard::Call`] → [`policy::Judged`] → [`audit::Recorded`] → `Permit` → response.
//! Forwarding what was not judged and recorded does not compile.
//!
//! | module        | what lives there                                                                |
//! |---------------|---------------------------------------------------------------------------------|
//! | [`value`]     | durations, sizes, hashes as people write them; text of others, fit to be shown  |
//! | [`dynatrace`] | the domain: endpoint catalogue, token ids and secrets, changes, error envelope  |
//! | [`guard`]     | untrusted bytes in, `Head` and `Call` out: canonical paths, strict JSON         |
//! | [`identity`]  | who is calling: JSON Web Tokens and their keys, clients behind proxies, teams     |
//! | [`policy`]    | Rego in, decisions out: bundle, checks, engine, input document, test suite      |
//! | [`bundles`]   | OPA bundles as they are configured; what fetches them; which were in force last |
//! | [`audit`]     | events in, evidence out: the journal, its chain, verification                   |
//! | [`grant`]     | one-time grants: what two people sign so that one denied request passes once      |
//! | [`replay`]    | past decisions again, under other policies                                       |
//! | [`anchor`]    | takes the journal's checkpoints elsewhere: a file, a URL, witnesses              |
//! | [`ship`]      | sends records elsewhere: collectors, OPA decision-log services, webhooks         |
//! | [`store`]     | `PostgreSQL`, where the gates of a fleet meet                                   |
//! | [`trail`]     | what the records say: where answers come from, who and what they tell of        |
//! | [`listener`]  | sockets, TLS, hyper, drain; knows no token                                      |
//! | [`outbound`]  | connections that the gate opens: TLS, proxies, a small client                   |
//! | [`gateway`]   | the request path, the permit, the upstream, every way to refuse                 |
//! | [`telemetry`] | logs, and every metric in one list                                              |
//! | [`admin`]     | health, readiness, metrics for operators                                        |
//! | [`ask`]       | what would the policies say: OPA's data API and `AuthZEN`, for operators          |
//! | [`console`]   | pages for people: decisions, tokens, callers, policies, a playground            |
//! | [`simulate`]  | the Dynatrace token API in memory                                               |
//! | [`config`]    | the sections of all modules, gathered                                           |
//! | [`app`]       | the composition root: builds every part once, runs, drains; owns the clock      |
//! | [`cli`]       | the commands                                                                    |
//!
//! Words: an *environment* is addressed by `/e/{id}`; an *operation* is what the catalogue calls a
//! request; a *call* is one that was understood; a *decision* is a *verdict* with its *violations*; a
//! *record* is one line of the *journal*, which consists of *segments*; a *rejection* is a refusal on
//! its way to the client.

pub mod admin;
pub mod anchor;
pub mod app;
pub mod ask;
pub mod audit;
pub mod bundles;
pub mod cli;
pub mod config;
pub mod console;
pub mod dynatrace;
pub mod gateway;
pub mod grant;
pub mod guard;
pub mod identity;
pub mod listener;
pub mod outbound;
pub mod policy;
pub mod replay;
pub mod ship;
pub mod simulate;
pub mod store;
pub mod telemetry;
pub mod trail;
pub mod value;
