//! What signalling carries: [`SessionDescription`] and [`IceCandidate`], shaped as browsers shape them.

use std::fmt;

/// The type of a [`SessionDescription`] (`RTCSdpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum SdpType {
    /// Starts an exchange.
    Offer,
    /// A provisional answer: another may follow.
    Pranswer,
    /// Ends an exchange.
    Answer,
    /// Takes back the offer under way; its SDP is empty.
    Rollback,
}

impl SdpType {
    /// The string that browsers give.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Pranswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An offer or an answer (`RTCSessionDescriptionInit`). With the feature `serde` it reads and writes the JSON of
/// browsers: `{"type":"offer","sdp":"v=0…"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SessionDescription {
    /// Offer, answer, provisional answer or rollback.
    #[cfg_attr(feature = "serde", serde(rename = "type"))]
    pub kind: SdpType,
    /// The session description (RFC 8866); empty for a rollback.
    #[cfg_attr(feature = "serde", serde(default))]
    pub sdp: String,
}

impl SessionDescription {
    /// An offer with this SDP.
    #[must_use]
    pub fn offer(sdp: impl Into<String>) -> Self {
        Self {
            kind: SdpType::Offer,
            sdp: sdp.into(),
        }
    }

    /// An answer with this SDP.
    #[must_use]
    pub fn answer(sdp: impl Into<String>) -> Self {
        Self {
            kind: SdpType::Answer,
            sdp: sdp.into(),
        }
    }

    /// Takes back the offer under way (RFC 8829 §4.1.10.2).
    #[must_use]
    pub fn rollback() -> Self {
        Self {
            kind: SdpType::Rollback,
            sdp: String::new(),
        }
    }
}

/// A trickled candidate (`RTCIceCandidateInit`). With the feature `serde` it reads and writes the JSON of browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase")
)]
pub struct IceCandidate {
    /// `candidate:…` as in the SDP attribute (RFC 8839 §5.1); empty for the end of candidates.
    #[cfg_attr(feature = "serde", serde(default))]
    pub candidate: String,
    /// The media section's `a=mid`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub sdp_mid: Option<String>,
    /// The media section's position, from 0.
    #[cfg_attr(feature = "serde", serde(default, rename = "sdpMLineIndex"))]
    pub sdp_m_line_index: Option<u16>,
    /// The `ice-ufrag` of the generation that the candidate belongs to.
    #[cfg_attr(feature = "serde", serde(default))]
    pub username_fragment: Option<String>,
}
