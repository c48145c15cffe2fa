//! What a server may send. Its bytes are looked at as they come: one that sends without end, or wants the password so
//! that others could find it, is not listened to any longer.

use std::io;

/// How much of an answer is read at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room(pub(super) usize);

impl Room {
    /// Of what gates ask: answers are small.
    pub(super) const GATE: Self = Self(4 << 20);
    /// Of what commands ask, for people who wait for it.
    pub(super) const COMMAND: Self = Self(512 << 20);
}

/// Follows the messages of one server.
#[derive(Debug)]
pub(super) struct Watch {
    room: Room,
    /// Nobody else reads what goes there.
    is_private: bool,
    /// Kind and length of the message that comes, as far as they are there.
    head: [u8; 5],
    has: usize,
    /// What is still to come of it.
    left: usize,
    /// The beginning of a message about the password.
    asks: Vec<u8>,
    /// Since the last answer was complete.
    answer: usize,
    /// The driver keeps all of these.
    parameters: usize,
}

impl Watch {
    pub(super) fn new(room: Room, is_private: bool) -> Self {
        Self {
            room,
            is_private,
            head: [0; 5],
            has: 0,
            left: 0,
            asks: Vec::new(),
            answer: 0,
            parameters: 0,
        }
    }

    /// More has come.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let (seen, behind) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= seen.len();
                self.inside(seen)?;
                bytes = behind;
                continue;
            }
            if let Some(place) = self.head.get_mut(self.has) {
                *place = *first;
            }
            self.has += 1;
            bytes = rest;
            if self.has == self.head.len() {
                self.has = 0;
                self.begins()?;
            }
        }
        Ok(())
    }

    fn begins(&mut self) -> io::Result<()> {
        let [kind, length @ ..] = self.head;
        let length = u32::from_be_bytes(length) as usize;
        self.left = length.checked_sub(4).ok_or_else(|| {
            io::Error::other("the server does not speak as PostgreSQL does: a length is wrong")
        })?;
        self.asks.clear();
        self.answer = match kind {
            COMPLETE => 0,
            _ => self.answer.saturating_add(length),
        };
        if kind == PARAMETER {
            self.parameters = self.parameters.saturating_add(length);
        }
        let Room(room) = self.room;
        if self.answer > room || self.parameters > PARAMETERS {
            let mib = room >> 20;
            return Err(io::Error::other(format!(
                "the server sends more than {mib} MiB as one answer: it is not read any further"
            )));
        }
        Ok(())
    }

    /// Of a message's content.
    fn inside(&mut self, seen: &[u8]) -> io::Result<()> {
        let [kind, ..] = self.head;
        if kind != AUTHENTICATION || self.is_private {
            return Ok(());
        }
        let room = LONGEST_ASKED.saturating_sub(self.asks.len());
        self.asks.extend(seen.iter().take(room));
        let Some((asked, rest)) = self.asks.split_first_chunk() else {
            return Ok(());
        };
        let how = match *asked {
            CLEAR => "in clear text",
            // Whoever reads the answer finds the password by trying, and what the server keeps of it at once.
            MD5 => "by md5",
            // The same, where trying once takes no time.
            SCRAM if self.left == 0 && iterations(rest) < ITERATIONS => {
                "by scram-sha-256 with few iterations"
            }
            _ => return Ok(()),
        };
        Err(io::Error::other(format!(
            "the server wants the password {how}, and the connection is not encrypted: \
             use sslmode=require, or let it ask for scram-sha-256 with {ITERATIONS} iterations or more"
        )))
    }
}

/// How often the password is hashed, by what a server says at the end of its first message of SCRAM; 0: it does not say
/// it.
fn iterations(message: &[u8]) -> u64 {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let number = text.rsplit_once(",i=").map(|(_, number)| number.parse());
    number.and_then(Result::ok).unwrap_or_default()
}

/// Kinds of messages.
const AUTHENTICATION: u8 = b'R';
const PARAMETER: u8 = b'S';
/// The server is ready for the next question.
const COMPLETE: u8 = b'Z';
/// How it asks for the password in clear text.
const CLEAR: [u8; 4] = [0, 0, 0, 3];
const MD5: [u8; 4] = [0, 0, 0, 5];
/// The first answer of SCRAM.
const SCRAM: [u8; 4] = [0, 0, 0, 11];
/// As many as a server has where it was not told to have fewer.
const ITERATIONS: u64 = 4096;
/// Bytes of a message about the password: more than a server sends.
const LONGEST_ASKED: usize = 4096;
/// Bytes of settings that a server may tell in one session.
const PARAMETERS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), content].concat()
    }

    /// In whatever pieces it comes.
    fn refused(is_private: bool, bytes: &[u8]) -> String {
        let results = [1, 2, 3, 7, bytes.len().max(1)].map(|piece| {
            let mut watch = Watch::new(Room(100), is_private);
            let mut pieces = bytes.chunks(piece);
            let result = pieces.try_for_each(|piece| watch.see(piece));
            result.map_or_else(|error| error.to_string(), |()| String::new())
        });
        let last = results[4].clone();
        assert!(results.iter().all(|it| *it == last), "{results:?}");
        last
    }

    #[test]
    fn an_answer_is_as_large_as_its_room() {
        let row = message(b'D', &[0; 45]);
        let ready = message(b'Z', b"I");
        let two = [&*row, &row, &ready].concat();
        assert_eq!(refused(false, &[&*two, &two, &two].concat()), "");
        let three = [&*row, &row, &row].concat();
        let said = refused(false, &three);
        assert!(said.contains("as one answer"), "{said}");
        // One message that only says how long it will be.
        assert_ne!(refused(false, &[b'D', 0x7f, 0xff, 0xff, 0xff]), "");
        assert_ne!(refused(false, &[b'D', 0, 0, 0, 3]), "");
        assert_eq!(refused(false, b""), "");
    }

    #[test]
    fn a_server_tells_only_so_many_settings() {
        let mut watch = Watch::new(Room(100), false);
        let setting = message(b'S', &[b'a'; 60]);
        let told = (0..100_000).take_while(|_| {
            let ready = message(b'Z', b"I");
            watch.see(&setting).is_ok() && watch.see(&ready).is_ok()
        });
        assert!(told.count() < 20_000);
    }

    #[test]
    fn a_password_in_clear_text_goes_only_where_nobody_reads_it() {
        let clear = message(b'R', &[0, 0, 0, 3]);
        let said = refused(false, &clear);
        assert!(said.contains("clear text"), "{said}");
        assert_eq!(refused(true, &clear), "");
        let md5 = message(b'R', b"\0\0\0\x05salt");
        let said = refused(false, &md5);
        assert!(said.contains("by md5"), "{said}");
        assert_eq!(refused(true, &md5), "");
        let scram = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
        let goes_on = message(b'R', b"\0\0\0\x0br=abc,s=QUJD,i=4096");
        let last = message(b'R', b"\0\0\0\x0cv=QUJD");
        let welcome = message(b'R', &[0, 0, 0, 0]);
        let all = [scram, goes_on, last, welcome].concat();
        assert_eq!(refused(false, &all), "");
        for few in [
            "\0\0\0\x0br=abc,s=QUJD,i=4095",
            "\0\0\0\x0br=abc,s=QUJD,i=1",
            "\0\0\0\x0br=abc,s=QUJD,i=",
            "\0\0\0\x0br=abc,s=QUJD",
            "\0\0\0\x0b",
        ] {
            let said = refused(false, &message(b'R', few.as_bytes()));
            assert!(said.contains("few iterations"), "{few}: {said}");
            assert_eq!(refused(true, &message(b'R', few.as_bytes())), "");
        }
        // Not all of it is looked at.
        let nonce = "a".repeat(2 * LONGEST_ASKED);
        let long = format!("\0\0\0\x0br={nonce},s=QUJD,i=4096");
        let mut watch = Watch::new(Room::GATE, false);
        watch.see(&message(b'R', long.as_bytes())).unwrap_err();
    }
}
