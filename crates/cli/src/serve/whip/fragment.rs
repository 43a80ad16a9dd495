//! What a `PATCH` says (RFC 8840 §4.4, RFC 9725 §4.3): more candidates, or new credentials, which restart ICE.

use peerline::IceCandidate;
use peerline_sdp::attribute::{Candidate, EndOfCandidates, IcePwd, IceUfrag};
use peerline_sdp::{Fragment, MediaDescription, Section as _, SessionDescription};

/// A fragment, checked against the offer that it changes.
pub(super) struct Update {
    /// The offer with the new credentials, if they are new; without candidates.
    pub(super) restarted_offer: Option<SessionDescription>,
    /// What is trickled; `None` says that there are no more.
    pub(super) candidates: Vec<Option<IceCandidate>>,
}

impl Update {
    /// Parses a fragment. An error says what the client has to mend; nothing has been changed then.
    pub(super) fn parse(text: &str, offer: &SessionDescription) -> Result<Self, String> {
        let fragment = Fragment::parse(text).map_err(|error| format!("the fragment cannot be parsed: {error}"))?;
        let (ufrag, pwd) = credentials(&fragment)?;
        let (old_ufrag, old_pwd) = offered_credentials(offer);
        let restarted_offer = match (&ufrag, pwd) {
            // "any WHIP session receiving an updated 'ice-pwd' and 'ice-ufrag' attributes MUST consider the request as
            // performing an ICE restart" (RFC 9725 §4.3.3).
            (Some(ufrag), Some(pwd)) if Some(ufrag) != old_ufrag.as_ref() || Some(&pwd) != old_pwd.as_ref() => {
                Some(restart(offer, ufrag, &pwd))
            }
            (Some(ufrag), None) if Some(ufrag) != old_ufrag.as_ref() => {
                return Err("ice-ufrag is not the offer's: a restart of ICE needs a new ice-pwd as well".into());
            }
            (None, Some(_)) => return Err("ice-pwd without ice-ufrag".into()),
            _ => None,
        };
        let candidates = candidates(&fragment, offer, ufrag.or(old_ufrag).as_deref())?;
        Ok(Self {
            restarted_offer,
            candidates,
        })
    }
}

/// Those of the first media description that has any, else those of the session level.
fn credentials(fragment: &Fragment) -> Result<(Option<String>, Option<String>), String> {
    let wrong = |error| format!("the fragment's ICE credentials cannot be parsed: {error}");
    let pseudo = fragment
        .media
        .iter()
        .find(|media| media.has::<IceUfrag>() || media.has::<IcePwd>());
    let (ufrag, pwd) = match pseudo {
        Some(media) => (media.attribute::<IceUfrag>(), media.attribute::<IcePwd>()),
        None => (fragment.attribute::<IceUfrag>(), fragment.attribute::<IcePwd>()),
    };
    let ufrag = ufrag.map_err(wrong)?.map(|ufrag| ufrag.to_string());
    let pwd = pwd.map_err(wrong)?.map(|pwd| pwd.to_string());
    Ok((ufrag, pwd))
}

fn offered_credentials(offer: &SessionDescription) -> (Option<String>, Option<String>) {
    offer
        .media
        .iter()
        .find_map(|media| offer.ice_parameters(media).ok().flatten())
        .map_or((None, None), |ice| (Some(ice.ufrag), Some(ice.pwd)))
}

/// The client's offer as it would have renewed it: "the previously negotiated non-ICE related SDP information still" applies.
fn restart(offer: &SessionDescription, ufrag: &str, pwd: &str) -> SessionDescription {
    let mut offer = offer.clone();
    offer.remove::<IceUfrag>();
    offer.remove::<IcePwd>();
    for media in offer.media.iter_mut().filter(|media| !media.is_rejected()) {
        media.set(&IceUfrag::new(ufrag)).set(&IcePwd::new(pwd));
        media.remove::<Candidate>();
        media.remove::<EndOfCandidates>();
    }
    offer
}

fn candidates(
    fragment: &Fragment,
    offer: &SessionDescription,
    ufrag: Option<&str>,
) -> Result<Vec<Option<IceCandidate>>, String> {
    let mut found = Vec::new();
    for (mid, candidate) in fragment.candidates() {
        let candidate = candidate.map_err(|error| format!("a candidate cannot be parsed: {error}"))?;
        if let Some(mid) = mid
            && offer.media_by_mid(mid).is_none()
        {
            return Err(format!("the offer has no media description with a=mid:{mid}"));
        }
        found.push(Some(IceCandidate {
            candidate: format!("candidate:{candidate}"),
            sdp_mid: mid.map(str::to_owned),
            sdp_m_line_index: mid.is_none().then_some(0),
            // Rather than what the candidate itself may say: clients leave a former one there (RFC 9725 §4.3.3's example).
            username_fragment: ufrag.map(str::to_owned),
        }));
    }
    if fragment.has::<EndOfCandidates>() || fragment.media.iter().any(|media| media.has::<EndOfCandidates>()) {
        found.push(None);
    }
    Ok(found)
}

/// The reply to a restart: our credentials and candidates.
pub(super) fn describe(answer: &SessionDescription) -> String {
    let Some(media) = served(answer) else {
        return String::new();
    };
    let mut fragment = Fragment::about(answer, media);
    if let Some(pseudo) = fragment.media.first_mut() {
        for candidate in media.candidates().filter_map(Result::ok) {
            pseudo.push(&candidate);
        }
        pseudo.push(&EndOfCandidates);
    }
    fragment.to_string()
}

/// "A unique strong entity-tag identifying the ICE session" (RFC 9725 §4.3.1): its username fragment is unique.
pub(super) fn etag(answer: &SessionDescription) -> String {
    let ice = served(answer).and_then(|media| answer.ice_parameters(media).ok().flatten());
    format!("\"{}\"", ice.map(|ice| ice.ufrag).unwrap_or_default())
}

fn served(answer: &SessionDescription) -> Option<&MediaDescription> {
    answer.media.iter().find(|media| !media.is_rejected())
}
