//! What a media description takes from the session level if it does not say it itself.

use crate::attribute::{AttributeValue, Fingerprint, IceLite, IceOptions, IcePacing, IcePwd, IceUfrag, Setup, TlsId};
use crate::error::ParseError;
use crate::section::Section;

/// The peer's ICE parameters for one media description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceParameters {
    /// The username fragment.
    pub ufrag: String,
    /// The password.
    pub pwd: String,
    /// The options.
    pub options: IceOptions,
    /// Whether it is an ICE-lite agent.
    pub lite: bool,
    /// The milliseconds between checks that it asks for.
    pub pacing: Option<u32>,
}

/// The peer's DTLS parameters for one media description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DtlsParameters {
    /// Hashes of the certificates it may show: one of them has to match. Empty if it gives none.
    pub fingerprints: Vec<Fingerprint>,
    /// Its role.
    pub setup: Option<Setup>,
    /// Its name for the association.
    pub tls_id: Option<String>,
}

pub(crate) fn ice(session: &impl Section, media: &impl Section) -> Result<Option<IceParameters>, ParseError> {
    let ufrag = resolve::<IceUfrag>(session, media)?;
    let pwd = resolve::<IcePwd>(session, media)?;
    let (Some(IceUfrag(ufrag)), Some(IcePwd(pwd))) = (ufrag, pwd) else {
        return Ok(None);
    };
    Ok(Some(IceParameters {
        ufrag,
        pwd,
        options: resolve(session, media)?.unwrap_or_default(),
        // RFC 8839 §5.3: "ice-lite" is a session-level attribute only.
        lite: session.has::<IceLite>(),
        pacing: resolve::<IcePacing>(session, media)?.map(|IcePacing(milliseconds)| milliseconds),
    }))
}

pub(crate) fn dtls(session: &impl Section, media: &impl Section) -> Result<DtlsParameters, ParseError> {
    // RFC 8122 §5: "If it is a session-level attribute, it applies to all TLS sessions for which no media-level
    // fingerprint attribute is defined."
    let own: Vec<Fingerprint> = media.attributes().collect::<Result<_, _>>()?;
    let fingerprints = match own.is_empty() {
        true => session.attributes().collect::<Result<_, _>>()?,
        false => own,
    };
    Ok(DtlsParameters {
        fingerprints,
        setup: resolve(session, media)?,
        tls_id: resolve::<TlsId>(session, media)?.map(|TlsId(id)| id),
    })
}

fn resolve<T: AttributeValue>(session: &impl Section, media: &impl Section) -> Result<Option<T>, ParseError> {
    match media.attribute()? {
        Some(own) => Ok(Some(own)),
        None => session.attribute(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MediaDescription, Origin, SessionDescription};

    #[test]
    fn the_media_level_comes_first() {
        let mut session = SessionDescription::new(&Origin::new(1, 1));
        session
            .push(&IceUfrag::new("session"))
            .push(&IcePwd::new("sessionsessionsessionsession"));
        session
            .push(&IceLite)
            .push(&IceOptions::new(["ice2"]))
            .push(&IcePacing(20))
            .push(&Setup::Active);
        session.push(&"x 01".parse::<Fingerprint>().unwrap());

        let mut media = MediaDescription::data_channel();
        let ice = session.ice_parameters(&media).unwrap().unwrap();
        assert_eq!((ice.ufrag.as_str(), ice.lite, ice.pacing), ("session", true, Some(20)));
        assert_eq!(session.dtls_parameters(&media).unwrap().setup, Some(Setup::Active));

        media
            .push(&IceUfrag::new("media"))
            .push(&Setup::Passive)
            .push(&"y 02".parse::<Fingerprint>().unwrap());
        let ice = session.ice_parameters(&media).unwrap().unwrap();
        assert_eq!(
            (ice.ufrag.as_str(), ice.pwd.as_str()),
            ("media", "sessionsessionsessionsession")
        );
        let dtls = session.dtls_parameters(&media).unwrap();
        assert_eq!(dtls.setup, Some(Setup::Passive));
        assert_eq!(dtls.fingerprints.len(), 1);
        assert_eq!(dtls.fingerprints[0].digest, [2]);
    }

    #[test]
    fn no_credentials_no_ice() {
        let mut session = SessionDescription::new(&Origin::new(1, 1));
        session.push(&IceUfrag::new("session"));
        assert_eq!(session.ice_parameters(&MediaDescription::data_channel()), Ok(None));
    }
}
