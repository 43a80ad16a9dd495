//! Several encodings of one source at once: `simulcast`.

use super::rid::rid_id;
use super::value_attribute;
use crate::error::{Fault, ValueError};
use crate::token;
use std::fmt;
use std::str::FromStr;

/// Simulcast streams by their `rid` (RFC 8853 §5.1).
///
/// ```text
/// sc-value    = ( sc-send [SP sc-recv] ) / ( sc-recv [SP sc-send] )
/// sc-send     = %s"send" SP sc-str-list
/// sc-str-list = sc-alt-list *( ";" sc-alt-list )
/// sc-alt-list = sc-id *( "," sc-id )
/// sc-id       = [sc-id-paused] rid-id
/// ```
///
/// Each stream is a list of alternatives, the one preferred first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Simulcast {
    /// The streams that the sender of the description sends; empty for none.
    pub send: Vec<Vec<SimulcastStream>>,
    /// The streams that it receives; empty for none.
    pub recv: Vec<Vec<SimulcastStream>>,
}

/// One alternative of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SimulcastStream {
    /// Its `rid`.
    pub rid: String,
    /// Whether it starts paused (`~`).
    pub paused: bool,
}

impl SimulcastStream {
    /// A stream that is not paused.
    pub fn new(rid: impl Into<String>) -> Self {
        Self {
            rid: rid.into(),
            paused: false,
        }
    }
}

value_attribute!(Simulcast, "simulcast");

impl FromStr for Simulcast {
    type Err = ValueError;

    fn from_str(value: &str) -> Result<Self, ValueError> {
        let mut fields = token::fields(value);
        let mut simulcast = Self::default();
        while let Some(direction) = fields.next() {
            let streams = match direction {
                "send" => &mut simulcast.send,
                "recv" => &mut simulcast.recv,
                _ => return Err(ValueError::malformed("simulcast direction")),
            };
            if !streams.is_empty() {
                return Err(ValueError::new(
                    "second simulcast direction of the same kind",
                    Fault::Unexpected,
                ));
            }
            let list = token::next(&mut fields, "list of simulcast streams")?;
            *streams = list.split(';').map(alternatives).collect::<Result<_, _>>()?;
        }
        match simulcast.send.is_empty() && simulcast.recv.is_empty() {
            true => Err(ValueError::missing("simulcast direction")),
            false => Ok(simulcast),
        }
    }
}

fn alternatives(text: &str) -> Result<Vec<SimulcastStream>, ValueError> {
    text.split(',').map(str::parse).collect()
}

impl FromStr for SimulcastStream {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (paused, rid) = match text.strip_prefix('~') {
            Some(rid) => (true, rid),
            None => (false, text),
        };
        Ok(Self {
            rid: rid_id(rid)?,
            paused,
        })
    }
}

impl fmt::Display for Simulcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("send", &self.send), ("recv", &self.recv)];
        let mut first = true;
        for (direction, streams) in lists.into_iter().filter(|(_, streams)| !streams.is_empty()) {
            write!(f, "{}{direction} ", if first { "" } else { " " })?;
            first = false;
            for (i, alternatives) in streams.iter().enumerate() {
                f.write_str(if i > 0 { ";" } else { "" })?;
                token::join(f, ',', alternatives)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for SimulcastStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.paused { "~" } else { "" }, self.rid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Attribute, fails, round_trips};

    #[test]
    fn simulcasts() {
        round_trips::<Simulcast>(&[
            "simulcast:send h;m;l",
            "simulcast:recv h;~m;l",
            "simulcast:send 1,2,3;~4,~5 recv 6;~7,~8",
        ]);
        let turned: Attribute = "simulcast:recv 1 send 2;3".parse().unwrap();
        assert_eq!(turned.to_string(), "simulcast:send 2;3 recv 1");
        fails(&[
            ("simulcast:", "simulcast direction is missing"),
            ("simulcast:both 1", "simulcast direction is malformed"),
            ("simulcast:send", "list of simulcast streams is missing"),
            ("simulcast:send 1;;2", "rid is missing"),
            ("simulcast:send ~~1", "rid is malformed"),
            (
                "simulcast:send 1 send 2",
                "second simulcast direction of the same kind should not be there",
            ),
        ]);
    }
}
