//! Requests that try to grant `WriteConfig`, made by crossing lists.
//!
//! Every pair of values of two dimensions occurs, with all other dimensions plain; on top comes a random part
//! in which everything is mixed.

use std::fmt;
use std::io::Write;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::framing::{self, Framing};

/// Of the random part.
pub(crate) const SEED: u64 = 0x00d7_9a7e;
const RANDOM: usize = 1_500;

/// One request.
#[derive(Clone)]
pub(crate) struct Case {
    pub number: usize,
    pub method: String,
    pub target: String,
    pub body: String,
    pub encoding: Encoding,
    pub framing: Framing,
    pub credential: &'static str,
    pub extra: &'static str,
}

/// How the body becomes bytes, and what the head says about it.
#[derive(Clone, Copy)]
pub(crate) struct Encoding {
    fields: &'static str,
    bytes: fn(&str) -> Vec<u8>,
}

/// What there is of everything.
pub(crate) struct Dimensions {
    methods: Vec<&'static str>,
    pub targets: Vec<String>,
    pub bodies: Vec<String>,
    encodings: Vec<Encoding>,
    framings: Vec<Framing>,
    credentials: Vec<&'static str>,
    extras: Vec<&'static str>,
}

pub(crate) static PLAIN: LazyLock<Case> = LazyLock::new(|| Case {
    number: 0,
    method: "PUT".to_owned(),
    target: "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea".to_owned(),
    body: r#"{"scopes":["WriteConfig"]}"#.to_owned(),
    encoding: Encoding {
        fields: "Content-Type: application/json\r\n",
        bytes: utf8,
    },
    framing: framing::by_length,
    credential: "Authorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\n",
    extra: "",
});

impl Case {
    pub(crate) fn with_body(&self, body: &str) -> Self {
        Self {
            body: body.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        (self.framing)(self, &(self.encoding.bytes)(&self.body))
    }

    /// The request line and all fields but those of the framing.
    pub(crate) fn head(&self, version: &str) -> String {
        let (target, credential) = match self.credential.strip_prefix('?') {
            Some(query) => (format!("{}?{query}", self.target), ""),
            None => (self.target.clone(), self.credential),
        };
        format!(
            "{} {target} {version}\r\nHost: gate\r\nX-Case: {}\r\n{}{credential}{}",
            self.method, self.number, self.encoding.fields, self.extra
        )
    }

    /// The same for HTTP/2, where it can be written.
    pub(crate) fn request(&self, address: std::net::SocketAddr) -> Option<http::Request<Vec<u8>>> {
        let target = match self.credential.strip_prefix('?') {
            Some(query) => format!("{}?{query}", self.target),
            None => self.target.clone(),
        };
        let mut request = http::Request::builder()
            .version(http::Version::HTTP_2)
            .method(self.method.as_str())
            .uri(format!("http://{address}{target}"))
            .header("x-case", self.number);
        let credential = if self.credential.starts_with('?') {
            ""
        } else {
            self.credential
        };
        for field in [self.encoding.fields, credential, self.extra]
            .concat()
            .lines()
        {
            let (name, value) = field.split_once(": ")?;
            if !matches!(name, "Connection" | "Host") {
                request = request.header(name, value);
            }
        }
        request.body((self.encoding.bytes)(&self.body)).ok()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "case {}\n{}", self.number, self.bytes().escape_ascii())
    }
}

impl Dimensions {
    pub(crate) fn http1() -> Self {
        Self {
            methods: vec![
                "POST",
                "PUT",
                "PATCH",
                "DELETE",
                "GET",
                "HEAD",
                "OPTIONS",
                "put",
                "TRACE",
                "QUERY",
                "MERGE",
                "PROPPATCH",
            ],
            targets: targets(),
            bodies: bodies(),
            encodings: encodings(),
            framings: framing::ALL.to_vec(),
            credentials: vec![
                PLAIN.credential,
                "",
                "Authorization: Bearer dt0s16.AB.CD\r\n",
                "?api-token=dt0c01.A.B",
                "?Api-Token=dt0c01.A.B",
                "?%61pi-token=dt0c01.A.B&x=y",
                "?_method=PUT",
                "?httpMethod=PUT",
                "?http.verb=PUT",
                "Cookie: JSESSIONID=1\r\n",
            ],
            extras: vec![
                "",
                "X-HTTP-Method-Override: PUT\r\n",
                "X-HTTP-Method: PUT\r\n",
                "X-Method-Override: PUT\r\n",
                "X_HTTP_Method_Override: PUT\r\n",
                "X-Http-Verb: PUT\r\n",
                "X-Tunneled-Method: PUT\r\n",
                "X-Original-URL: /api/v1/tokens/x\r\n",
                "X-Override-URL: /api/v1/tokens/x\r\n",
                "X-MS-Original-URL: /api/v1/tokens/x\r\n",
                "X-Waws-Unencoded-URL: /api/v2/apiTokens/x\r\n",
                "X-Request-Uri: /api/v2/apiTokens/x\r\n",
                "Cookie: JSESSIONID=1\r\n",
                "X-Rewrite-URL: /api/v2/%61piTokens/x\r\n",
                "X-Original-URI: /api/v1//tokens/x\r\n",
                "X-Forwarded-Uri: /api/v1/tokens/x\r\n",
                "X-Forwarded-Prefix: /api/v2/apiTokens\r\n",
                "X-Envoy-Original-Path: /api/v2/apiTokens/x\r\n",
                "Connection: content-type\r\n",
                "Connection: close, authorization\r\n",
                "Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
                "Range: bytes=0-1\r\n",
            ],
        }
    }

    /// Framing is not the client's to choose there.
    pub(crate) fn http2() -> Self {
        Self {
            framings: vec![framing::by_length],
            ..Self::http1()
        }
    }

    fn sizes(&self) -> [usize; 7] {
        [
            self.methods.len(),
            self.targets.len(),
            self.bodies.len(),
            self.encodings.len(),
            self.framings.len(),
            self.credentials.len(),
            self.extras.len(),
        ]
    }

    /// The case with the value of each dimension; the first of each is the plain one.
    fn case(&self, number: usize, at: [usize; 7]) -> Case {
        Case {
            number,
            method: self.methods[at[0]].to_owned(),
            target: self.targets[at[1]].clone(),
            body: self.bodies[at[2]].clone(),
            encoding: self.encodings[at[3]],
            framing: self.framings[at[4]],
            credential: self.credentials[at[5]],
            extra: self.extras[at[6]],
        }
    }
}

/// All pairs, and a random part.
pub(crate) fn all(dimensions: &Dimensions) -> Vec<Case> {
    let sizes = dimensions.sizes();
    let mut places = std::collections::BTreeSet::new();
    for one in 0..sizes.len() {
        for other in one + 1..sizes.len() {
            let product = sizes[one] * sizes[other];
            // Of a product that is too large every n-th pair, each value of both among them.
            let step = product.div_ceil(260);
            for index in (0..product).step_by(step.max(1)) {
                for method in [0, 1] {
                    let mut at = [0; 7];
                    at[0] = method;
                    at[one] = index % sizes[one];
                    at[other] = (index / sizes[one] + index) % sizes[other];
                    places.insert(at);
                }
            }
        }
    }
    let mut random = Random(SEED);
    for _ in 0..RANDOM {
        places.insert(sizes.map(|size| random.below(size)));
    }
    let numbered = places.into_iter().enumerate();
    numbered
        .map(|(number, at)| dimensions.case(number, at))
        .collect()
}

/// xorshift64: the same requests in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Roots × collections × ids × spellings.
fn targets() -> Vec<String> {
    let mut targets = vec![PLAIN.target.clone()];
    for root in [
        "/api",
        "/e/abc12345/api",
        "/platform/classic/environment-api",
    ] {
        for path in [
            "/v1/tokens/x1",
            "/v2/apiTokens/dt0c01.AB",
            "/v2/apiTokens",
            "/v1/tokens",
        ] {
            let plain = format!("{root}{path}");
            targets.extend(SPELLINGS.iter().map(|spelling| spelling(&plain)));
        }
    }
    // What the fields that name another path are put on.
    targets.push("/api/v2/metrics/ingest".to_owned());
    targets.dedup();
    targets
}

const SPELLINGS: &[fn(&str) -> String] = &[
    |path| path.to_owned(),
    |path| format!("{path}/"),
    |path| path.replace('/', "//"),
    |path| format!("/x/..{path}"),
    |path| path.replacen("/v", "/./v", 1),
    |path| path.replacen("/v", "/x/%2e%2e/v", 1),
    |path| path.replacen("/v", "//../api/v", 1),
    |path| path.replace("okens", "%6fkens"),
    |path| path.replace("okens", "%256fkens"),
    |path| path.replace("okens", "%25256fkens"),
    |path| path.replace("okens", "%u006fkens"),
    |path| path.replacen("/v", "%2fv", 1),
    |path| path.replacen("/v", "%252fv", 1),
    |path| path.replacen("/v", "\\v", 1),
    |path| path.replacen("/v", "%5cv", 1),
    |path| path.replacen("/v", "%c0%afv", 1),
    |path| path.replacen("/v", "%ef%bc%8fv", 1),
    |path| path.replace("okens", "okens;a=b"),
    |path| path.replacen("/v", ";a/v", 1),
    |path| path.replacen("/v", ";a\\b/v", 1),
    |path| path.replace("okens", "OKENS"),
    |path| path.to_uppercase(),
    |path| path.replace("okens", "%EF%BD%8Fkens"),
    |path| path.replace("okens", "o%E2%84%AAens"),
    |path| path.replace("okens", "o%E2%80%8Bkens"),
    |path| path.replace("okens", "okens%00"),
    |path| path.replace("okens", "okens%20"),
    |path| path.replace("okens", "okens%3fx="),
    |path| path.replace("okens", "okens%23"),
    |path| path.replace("okens", "okens.json"),
    |path| format!("{path}?x=%2e%2e"),
    |path| format!("{path}%2f..%2fy"),
    |path| format!("{path}/y/.."),
    |path| format!("/e/%61bc{path}"),
    |path| format!("http://gate{path}"),
    |path| format!("http://gate//x/..{path}"),
    |path| format!("//gate{path}"),
    |path| format!("/api/v2/metrics/../../..{path}"),
    |path| format!("/api/v2/metrics;/..%2f..%2f..{path}"),
    |path| format!("{path}#x"),
];

/// Scopes × the places where a reader could find them.
fn bodies() -> Vec<String> {
    let scopes = [
        "WriteConfig",
        "\\u0057riteConfig",
        "Write\\u0043onfig",
        "writeconfig",
        " WriteConfig",
        "WriteConfig\\u0000",
        "Write\\u200bConfig",
        "\u{ff37}riteConfig",
    ];
    let places = [
        r#"{"scopes":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read","@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"],"scopes":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["@"],"scopes":["metrics.read"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"],"Scopes":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"],"scop\u0065s":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"],"scopes[]":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"],"scopes\u0000":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":[["@"]]}"#,
        r#"{"name":"payments-prod-ci","scopes":"@"}"#,
        r#"{"name":"payments-prod-ci","scopes":{"0":"@"}}"#,
        r#"[{"name":"payments-prod-ci","scopes":["@"]}]"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}{"scopes":["@"]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"/*,"@"*/]}"#,
        r#"{"name":"payments-prod-ci","scopes":["metrics.read",'@']}"#,
        r#"{"name":"payments-prod-ci","scopes":["@",]}"#,
        r#"{"name":"payments-prod-ci","scopes":["@"],"x":NaN}"#,
        "\u{feff}{\"name\":\"payments-prod-ci\",\"scopes\":[\"@\"]}",
        r#"{"name":"payments-prod-ci","revoked":false,"enabled":true,"scopes":["@"]}"#,
        "scopes=@&name=payments-prod-ci",
        "--b\r\nContent-Disposition: form-data; name=\"scopes\"\r\n\r\n@\r\n--b--\r\n",
        "<token><scopes>@</scopes></token>",
    ];
    let mut bodies = vec![PLAIN.body.clone()];
    for place in places {
        bodies.extend(scopes.iter().map(|scope| place.replace('@', scope)));
    }
    bodies
}

fn encodings() -> Vec<Encoding> {
    const JSON: &str = "Content-Type: application/json\r\n";
    let of = |fields: &'static str, bytes: fn(&str) -> Vec<u8>| Encoding { fields, bytes };
    vec![
        PLAIN.encoding,
        of("", utf8),
        of("Content-Type: application/json; charset=utf-8\r\n", utf8),
        of("Content-Type: text/plain\r\n", utf8),
        of("Content-Type: application/json, text/plain\r\n", utf8),
        of("Content-Type: application/x-www-form-urlencoded\r\n", utf8),
        of("Content-Type: multipart/form-data; boundary=b\r\n", utf8),
        of(
            "Content-Type: application/json\r\nContent-Type: text/xml\r\n",
            utf8,
        ),
        of(
            "Content-Type: application/json; charset=utf-16\r\n",
            |text| utf16(text, false),
        ),
        of(
            "Content-Type: application/json; charset=utf-16be\r\n",
            |text| utf16(text, true),
        ),
        of(JSON, |text| utf16(text, false)),
        of(JSON, |text| utf16(text, true)),
        of(
            "Content-Type: application/json; charset=utf-7\r\n",
            |text| text.replace("WriteConfig", "Write+AEM-onfig").into_bytes(),
        ),
        of(
            "Content-Type: application/json; charset=utf-8; charset=utf-16\r\n",
            utf8,
        ),
        of(
            "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
            gzip,
        ),
        of(
            "Content-Type: application/json\r\nContent-Encoding: deflate\r\n",
            zlib,
        ),
        of(
            "Content-Type: application/json\r\nContent-Encoding: identity\r\n",
            utf8,
        ),
        of(
            "Content-Type: application/json\r\nContent-Encoding: gzip, identity\r\n",
            gzip,
        ),
        of(JSON, gzip),
        of(JSON, |text| {
            text.bytes().flat_map(|byte| [byte, 0]).collect()
        }),
        of(JSON, |text| [b"\xff\xfe", text.as_bytes()].concat()),
        of(JSON, |text| {
            // Overlong: C1 97 is W for whoever does not look closely.
            let bytes = text.bytes();
            bytes
                .flat_map(|byte| {
                    if byte == b'W' {
                        vec![0xC1, 0x97]
                    } else {
                        vec![byte]
                    }
                })
                .collect()
        }),
    ]
}

fn utf8(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let units = text.encode_utf16();
    units
        .flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
