//! Bodies of the fuzz targets.

use crate::attribute::*;
use crate::{Attribute, ChannelData, ChannelNumber, Key, Message, MessageBuilder, RawAttribute, is_stun};

/// Any bytes: parsing and checking never panic, and a message written again from its attributes reads the same.
pub fn message(bytes: &[u8]) {
    if let Ok(data) = ChannelData::parse(bytes) {
        let mut again = Vec::new();
        let len = data.encode(&mut again).expect("the data came with a 16-bit length");
        assert_eq!(bytes.get(..len), Some(&again[..]));
        assert!(!is_stun(bytes));
    }
    let Ok(message) = Message::parse(bytes) else { return };
    assert!(is_stun(bytes));

    let key = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
    let _ = (
        message.verify(&key),
        message.verify_sha1(&key),
        message.verify_sha256(&key, 16),
    );
    let _ = message.verify_fingerprint();

    let mut again = Vec::new();
    let mut builder = MessageBuilder::new(&mut again, message.class(), message.method(), message.transaction_id());
    message.raw_attributes().for_each(|attribute| {
        builder.raw(attribute);
    });
    assert_eq!(builder.finish(), Some(bytes.len()));
    let again = Message::parse(&again).expect("a message we wrote");
    assert_eq!((again.class(), again.method()), (message.class(), message.method()));
    assert_eq!(again.transaction_id(), message.transaction_id());
    assert!(again.raw_attributes().eq(message.raw_attributes()));
    assert!(again.attributes().eq(message.attributes()));

    unknown_attributes(&message);
    message
        .raw_attributes()
        .for_each(|attribute| typed(&message, attribute));
}

/// The 420 response to any request is short, and names only what the request has.
fn unknown_attributes(request: &Message<'_>) {
    let mut response = Vec::new();
    MessageBuilder::unknown_attributes(&mut response, request, &[]).fingerprint();
    assert!(response.len() < 200);
    let response = Message::parse(&response).expect("a message we wrote");
    assert_eq!(response.verify_fingerprint(), Ok(()));
    let named = response
        .get::<UnknownAttributes<'_>>()
        .expect("a list we wrote")
        .expect("there is one");
    assert!(named.iter().all(|kind| request.contains(kind)));
    assert_eq!(named.iter().next(), request.unknown_required(&[]).next());
}

/// What decodes encodes to something that decodes the same.
fn typed(message: &Message<'_>, attribute: RawAttribute<'_>) {
    macro_rules! try_all {
        ($($kind:ty),* $(,)?) => {
            match attribute.kind {
                $(<$kind as Attribute<'_>>::TYPE => {
                    let Ok(value) = <$kind>::decode(attribute.value, message.transaction_id()) else { return };
                    let mut again = Vec::new();
                    value.encode(message.transaction_id(), &mut again);
                    assert_eq!(<$kind>::decode(&again, message.transaction_id()), Ok(value));
                })*
                _ => {}
            }
        };
    }
    try_all!(
        AddressErrorCode<'_>,
        AdditionalAddressFamily,
        AlternateDomain<'_>,
        AlternateServer,
        ChangeRequest,
        ChannelNumber,
        ConnectionId,
        Data<'_>,
        DontFragment,
        ErrorAttribute<'_>,
        EvenPort,
        Fingerprint,
        IceControlled,
        IceControlling,
        Icmp,
        Lifetime,
        MappedAddress,
        MessageIntegrity,
        MessageIntegritySha256<'_>,
        NetworkInfo,
        Nonce<'_>,
        OtherAddress,
        Padding<'_>,
        PasswordAlgorithm<'_>,
        PasswordAlgorithms<'_>,
        Priority,
        Realm<'_>,
        RequestedAddressFamily,
        RequestedTransport,
        ReservationToken,
        ResponseOrigin,
        ResponsePort,
        Software<'_>,
        UnknownAttributes<'_>,
        UseCandidate,
        UserHash,
        Username<'_>,
        XorMappedAddress,
        XorPeerAddress,
        XorRelayedAddress,
    );
}
