//! Everything that can be exchanged is exchanged, while callers of every kind ask without a pause: none is answered
//! wrongly, and none is judged by, or sent with, what is not in force.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::Version;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::changes::{TEST, WATCHED, exchange, folder, trusting};
use super::wire::{Connection, naming, runtime};
use super::{
    DATA, JWT, Making, POLICY, PUBLIC, SECRET, Stand, claims, keys, of_payments, shown, telling,
};
use crate::authority::Authority;
use crate::harness::{Upstream, eventually, verify};
use crate::reload::{ConfigMap, decided_by_what_is_in_force};
use crate::signer::Signer;
use crate::tls::clients::{now, without_certificate};

const OWN: &str = "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X";

/// All callers together, in a second; on a machine that can.
const RATE: u32 = 500;

const LONG: Duration = Duration::from_mins(2);

/// Who asks, how and where.
#[derive(Clone)]
struct Caller {
    number: usize,
    version: Version,
    environment: &'static str,
    config: Arc<ClientConfig>,
    /// What it shows; it may change.
    shows: Shows,
}

/// How often each caller was answered with each status; 0: not at all.
type Tally = BTreeMap<(usize, u16), usize>;

#[derive(Default)]
struct Answers {
    tally: Mutex<Tally>,
    one_more: Condvar,
}

struct Load {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    answers: Arc<Answers>,
    began: Instant,
}

impl Caller {
    /// The next request: of 16 tokens in turn, by a name that says who asks.
    async fn ask(&self, connection: &mut Connection, turn: usize) -> u16 {
        let host = format!("{}.example", self.environment);
        let path = format!(
            "/api/v1/tokens/d5836312-5790-4e80-afcf-{:02}{:010}",
            self.number,
            turn % 16
        );
        let letter = ["a", "b"][turn / 16 % 2];
        let body = json!({ "name": format!("{}-{letter}", self.number) }).to_string();
        let shown = self.shows.lock().unwrap().clone();
        let fields = shown.iter().map(|value| ("authorization", value.as_str()));
        let fields: Vec<_> = fields.collect();
        let request = naming(connection.version(), &host, &path, &fields, &body);
        connection
            .send(request)
            .await
            .map_or(0, |(status, _)| status)
    }

    /// On one connection, at its share of the rate, as long as it takes; of HTTP/2 several requests at once.
    async fn go_on(
        self,
        to: SocketAddr,
        share: Duration,
        stop: Arc<AtomicBool>,
        answers: Arc<Answers>,
    ) {
        let (mut connection, _) = Connection::open(&self.config, to, self.version)
            .await
            .unwrap();
        let mut ticks = interval(share);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = JoinSet::new();
        for turn in 0.. {
            ticks.tick().await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if let Some(mut same) = connection.again() {
                let (caller, answers) = (self.clone(), answers.clone());
                asked.spawn(async move {
                    answers.count(caller.number, caller.ask(&mut same, turn).await);
                });
                if asked.len() >= 8 {
                    asked.join_next().await;
                }
            } else {
                let status = self.ask(&mut connection, turn).await;
                answers.count(self.number, status);
            }
        }
        while asked.join_next().await.is_some() {}
    }
}

impl Answers {
    fn count(&self, number: usize, status: u16) {
        *self
            .tally
            .lock()
            .unwrap()
            .entry((number, status))
            .or_default() += 1;
        self.one_more.notify_all();
    }
}

/// Connects again and again: each handshake sees one of these certificates.
async fn connect(
    caller: Caller,
    to: SocketAddr,
    servers: Vec<CertificateDer<'static>>,
    stop: Arc<AtomicBool>,
    answers: Arc<Answers>,
) {
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let version = [Version::HTTP_11, Version::HTTP_2][turn % 2];
        let status = match Connection::open(&caller.config, to, version).await {
            Ok((mut connection, shown)) if servers.contains(&shown) => {
                caller.ask(&mut connection, turn).await
            }
            Ok(_) => 1,
            Err(_) => 0,
        };
        answers.count(caller.number, status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Load {
    /// The last of them connects each time.
    fn of(callers: Vec<Caller>, to: SocketAddr, servers: Vec<CertificateDer<'static>>) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::<Answers>::default());
        let (stopping, counting) = (stop.clone(), answers.clone());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let mut callers = callers;
                let newcomer = callers.pop().unwrap();
                let share = Duration::from_secs(1) * u32::try_from(callers.len()).unwrap() / RATE;
                let mut asking = JoinSet::new();
                for caller in callers {
                    asking.spawn(caller.go_on(to, share, stopping.clone(), counting.clone()));
                }
                asking.spawn(connect(newcomer, to, servers, stopping, counting));
                while let Some(ended) = asking.join_next().await {
                    ended.unwrap();
                }
            });
        });
        Self {
            thread,
            stop,
            answers,
            began: Instant::now(),
        }
    }

    fn answered(&self) -> usize {
        self.answers.tally.lock().unwrap().values().sum()
    }

    /// Waits until as many more are answered. The gate has the processors meanwhile.
    fn more(&self, requests: usize) {
        let wanted = self.answered() + requests;
        let is_to_come = |tally: &mut Tally| tally.values().sum::<usize>() < wanted;
        let tally = self.answers.tally.lock().unwrap();
        let in_time = self
            .answers
            .one_more
            .wait_timeout_while(tally, LONG, is_to_come);
        assert!(!in_time.unwrap().1.timed_out(), "requests go on");
    }

    fn end(self) -> BTreeMap<(usize, u16), usize> {
        self.stop.store(true, Ordering::Relaxed);
        let (answered, took) = (self.answered(), self.began.elapsed());
        self.thread.join().unwrap();
        eprintln!(
            "{answered} requests in {took:?}, {:.0} a second",
            f64::from(u32::try_from(answered).unwrap()) / took.as_secs_f64()
        );
        let tally = self.answers.tally.lock().unwrap();
        tally.clone()
    }
}

/// A server that gives access tokens, another one to each client's secret.
fn granting() -> Upstream {
    Upstream::answering_all(|seen| {
        let question = String::from_utf8_lossy(&seen.body);
        let token = if question.contains("SECOND") {
            "SECONDACCESSTOKEN"
        } else {
            "FIRSTACCESSTOKEN"
        };
        let body =
            json!({"access_token": token, "token_type": "Bearer", "expires_in": 300}).to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    })
}

/// Objects to names that end so, and to nothing else of these.
fn without(letter: &str) -> String {
    format!(
        "{POLICY}\ndeny contains \"not {letter}\" if endswith(input.change.name.requested, \"-{letter}\")\n"
    )
}

/// Which of the two credentials each decision of an environment was sent with, by the journal: the one in force there.
fn sent_with_what_is_in_force(records: &[Value], ids: [&str; 2]) -> usize {
    let mut turn = 0;
    let mut sent = [0; 2];
    for record in records {
        let changed = record["changed"].as_array().into_iter().flatten();
        let credential = changed.into_iter().any(|section| section == "credential");
        if record["kind"] == "reload" && credential {
            turn += 1;
        }
        if record["kind"] == "decision" && record["input"]["environment"]["name"] == "eu" {
            // The first change is of `eu`, the second of `us`.
            let at = turn.min(1);
            assert_eq!(record["caller"]["id"], ids[at], "{record}");
            sent[at] += 1;
        }
    }
    assert!(sent.iter().all(|sent| *sent > 0), "{sent:?}");
    turn
}

impl Stand {
    /// Does something, asks for it with a storm of signals, and waits until it is in force, or refused.
    fn storm(&self, load: &Load, change: impl FnOnce(), is_good: bool) -> Value {
        let before = self.status();
        change();
        for _ in 0..10 {
            self.gate.signal("HUP");
        }
        eventually("files are read again", || {
            load.more(10);
            let status = self.status();
            let last = &status["reload"]["last"];
            let is_new = *last != before["reload"]["last"];
            // A storm may have what is refused looked at twice.
            let is_there = last["ok"] == true && status["generation"] != before["generation"];
            let changed = is_new && (!is_good || is_there);
            changed.then(|| {
                assert_eq!(last["ok"], is_good, "{last}");
                last.clone()
            })
        })
    }
}

/// Policies that object to a letter, and their tests.
fn set(letter: &str, tests: &str) -> Vec<(&'static str, String)> {
    vec![
        ("names.rego", without(letter)),
        ("names_test.rego", tests.to_owned()),
        ("data.yaml", DATA.to_owned()),
    ]
}

fn borrowed<'t>(set: &'t [(&'static str, String)]) -> Vec<(&'t str, &'t str)> {
    set.iter().map(|(name, text)| (*name, &**text)).collect()
}

/// A gate before three environments: the first with a token in a file, the second with access tokens, the third with
/// nothing.
struct Three {
    stand: Stand,
    policies: ConfigMap,
    servers: [CertificateDer<'static>; 2],
    us: Upstream,
    /// Kept, so that they answer.
    _others: [Upstream; 2],
}

impl Three {
    fn start() -> Self {
        let making = Making::before(telling());
        let next = Authority::new("Next", now());
        let one = folder(&making.path("one"), &[&making.authority], 8);
        let two = folder(&making.path("two"), &[&making.authority, &next], 9);
        exchange(making.directory.path(), "one");
        let policies = making.path("policies");
        std::fs::remove_dir_all(&policies).unwrap();
        let policies = ConfigMap::new(policies, &borrowed(&set("a", &passing())));
        let (us, none, server) = (telling(), telling(), granting());
        making.file("client.secret", "FIRST");
        let configuration = format!(
            "[listener.tls]\nfiles = {{ certificate = 'tls/certificate.pem', key = 'tls/key.pem' }}\n\
             clients = {{ ca = 'tls/ca.pem', crl = 'tls/crl.pem', required = false }}\n\
             [policies]\nbytecode = 'none'\n\
             [environments.eu]\nhosts = ['eu.example']\nupstream.url = 'http://{}'\n\
             credential.file = 'gate.token'\n\
             [environments.us]\nhosts = ['us.example']\nupstream.url = 'http://{}'\n\
             [environments.us.credential.oauth]\ntoken_url = 'http://{}/sso'\n\
             client_id = 'dt0s02.CLIENTID'\nclient_secret_file = 'client.secret'\n\
             [environments.none]\nhosts = ['none.example']\nupstream.url = 'http://{}'\n",
            making.upstream.address, us.address, server.address, none.address
        );
        let stand = making.start(&[WATCHED, "judge_queue = 10000\n", JWT, &configuration]);
        Self {
            stand,
            policies,
            servers: [one, two],
            us,
            _others: [none, server],
        }
    }

    /// By certificate, by JSON Web Token and with a token of their own; the last connects anew each time.
    fn callers(&self) -> Vec<Caller> {
        let servers = self.servers.each_ref();
        let known = trusting(&servers, &self.stand.authority.issue(of_payments));
        let nobody = without_certificate(&servers);
        let bearer = |subject: &str| Some(self.stand.bearer(json!({ "sub": subject })));
        let own = || Some(OWN.to_owned());
        let callers = [
            (Version::HTTP_11, "eu", &known, None),
            (Version::HTTP_2, "eu", &nobody, bearer("one")),
            (Version::HTTP_2, "us", &known, None),
            (Version::HTTP_11, "us", &nobody, bearer("two")),
            (Version::HTTP_2, "none", &nobody, own()),
            (Version::HTTP_11, "none", &known, own()),
            (Version::HTTP_11, "eu", &known, None),
        ];
        let callers = callers.into_iter().enumerate();
        let caller = |(number, (version, environment, config, shows)): (usize, Kind<'_>)| Caller {
            number,
            version,
            environment,
            config: Arc::clone(config),
            shows: Arc::new(Mutex::new(shows)),
        };
        callers.map(caller).collect()
    }

    /// Puts something else in force, and has it used for a while.
    fn good(&self, load: &Load, change: impl FnOnce(), section: &str) {
        let last = self.stand.storm(load, change, true);
        assert_eq!(last["changed"], json!([section]), "{last}");
        load.more(60);
    }

    fn swap_policies(&mut self, load: &Load) {
        let Self {
            stand, policies, ..
        } = self;
        for (letter, tests, is_good) in [
            ("b", passing(), true),
            ("a", TEST.to_owned(), false),
            ("c", passing(), true),
        ] {
            let set = set(letter, &tests);
            stand.storm(load, || policies.swap(&borrowed(&set)), is_good);
            load.more(60);
        }
    }

    fn swap_certificates(&self, load: &Load) {
        let root = self.stand.gate.directory.path();
        for folder in ["two", "one"] {
            self.good(load, || exchange(root, folder), "listener.tls");
        }
    }

    fn swap_credentials(&self, load: &Load) {
        let stand = &self.stand;
        let other = other_credential();
        let before = stand.upstream.seen().len();
        self.good(load, || stand.write("gate.token", &other), "credential");
        let seen = stand.upstream.seen();
        let (old, new) = (
            format!("Api-Token {PUBLIC}.{SECRET}"),
            format!("Bearer {other}"),
        );
        assert!(shown(&seen[..before]).iter().all(|it| *it == Some(&old)));
        assert_eq!(*shown(&seen).last().unwrap(), Some(&*new));
        self.good(
            load,
            || stand.write("client.secret", "SECOND"),
            "credential",
        );
        let seen = self.us.seen();
        assert_eq!(
            *shown(&seen).last().unwrap(),
            Some("Bearer SECONDACCESSTOKEN")
        );
    }

    /// Old keys and new ones, then tokens of the new ones, and then only these keys.
    fn swap_keys(&self, load: &Load, jobs: &[(Shows, &str)]) {
        let (stand, next) = (&self.stand, Signer::es256("next"));
        let both = keys(&[&stand.signer, &next]);
        self.good(load, || stand.write("keys.json", &both), "identity");
        for (shows, subject) in jobs {
            let token = next.token(&claims(json!({ "sub": subject })));
            *shows.lock().unwrap() = Some(format!("Bearer {token}"));
        }
        // What was on its way with the old ones has been answered by then.
        load.more(100);
        self.good(
            load,
            || stand.write("keys.json", &keys(&[&next])),
            "identity",
        );
    }
}

type Shows = Arc<Mutex<Option<String>>>;
type Kind<'a> = (Version, &'static str, &'a Arc<ClientConfig>, Option<String>);

fn passing() -> String {
    TEST.replace("== 7", "== 0")
}

fn other_credential() -> String {
    format!("{OTHER}.{}", SECRET.replace('Q', "B"))
}

const OTHER: &str = "dt0s16.OTHERPUB";

#[test]
fn nobody_is_answered_wrongly_while_everything_is_swapped_under_load() {
    let mut three = Three::start();
    let callers = three.callers();
    let jobs = [
        (callers[1].shows.clone(), "one"),
        (callers[3].shows.clone(), "two"),
    ];
    let load = Load::of(callers, three.stand.gate.address, three.servers.to_vec());
    load.more(60);
    three.swap_policies(&load);
    three.swap_certificates(&load);
    three.swap_credentials(&load);
    three.swap_keys(&load, &jobs);
    let tally = load.end();
    let is_judged = |(_, status): &(usize, u16)| [204, 403].contains(status);
    assert!(tally.keys().all(is_judged), "{tally:?}");
    // Each of them was allowed something, and refused something.
    assert_eq!(tally.len(), 2 * 7, "{tally:?}");
    let records = three.stand.gate.records();
    let all: usize = tally.values().sum();
    assert_eq!(decided_by_what_is_in_force(&records), all);
    assert_eq!(sent_with_what_is_in_force(&records, [PUBLIC, OTHER]), 2);
    each_as_itself(&records);
    verify(&three.stand.gate.journal());
    three.stand.hides(&[SECRET, &other_credential()]);
}

/// Each decision is about the caller that its name tells of.
fn each_as_itself(records: &[Value]) {
    for record in records.iter().filter(|record| record["kind"] == "decision") {
        let caller = &record["input"]["caller"];
        let name = record["input"]["change"]["name"]["requested"]
            .as_str()
            .unwrap();
        let shown = [
            &caller["certificate"]["spiffe_id"],
            &caller["jwt"]["subject"],
            &caller["token"]["id"],
        ];
        let shown = shown.map(|it| it.as_str().unwrap());
        let spiffe = "spiffe://example/ns/payments/sa/ci";
        let (own, client) = ("dt0c01.ST2EY72KQINMH574WMNVI7YN", "dt0s02.CLIENTID");
        let expected = match name.split('-').next().unwrap() {
            "0" | "6" => [spiffe, "", shown[2]],
            "1" => ["", "one", shown[2]],
            "2" => [spiffe, "", client],
            "3" => ["", "two", client],
            "4" => ["", "", own],
            "5" => [spiffe, "", own],
            other => panic!("{other}"),
        };
        assert_eq!(shown, expected, "{record}");
    }
}
