//! The encodings that a section names: `a=rid` and `a=simulcast` (RFC 8851, RFC 8853).

use peerline_sdp::attribute::{Rid, RidDirection, Simulcast, SimulcastStream};
use peerline_sdp::{MediaDescription, Section as _};

/// The layers of simulcast that a section names, as the writer of the description sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layers {
    pub(super) send: Vec<SimulcastStream>,
    pub(super) receive: Vec<SimulcastStream>,
}

/// Reads up to `most` layers each way. Of alternatives the first counts; a layer without `a=rid` is none: "an SCID … that is
/// not also listed as an rid-id … MUST be … discarded" (RFC 8853 §5.1).
pub(super) fn read(media: &MediaDescription, most: usize) -> Layers {
    let Ok(Some(simulcast)) = media.attribute::<Simulcast>() else {
        return Layers::default();
    };
    let rids: Vec<Rid> = media.attributes::<Rid>().filter_map(Result::ok).take(64).collect();
    let known = |streams: Vec<Vec<SimulcastStream>>, direction| {
        let mut layers: Vec<SimulcastStream> = Vec::new();
        for alternatives in streams.into_iter().take(64) {
            let is_named = |stream: &SimulcastStream| {
                rids.iter()
                    .any(|rid| rid.id == stream.rid && rid.direction == direction)
            };
            let Some(layer) = alternatives.into_iter().find(is_named) else {
                continue;
            };
            if layers.len() < most && !layers.iter().any(|own| own.rid == layer.rid) {
                layers.push(layer);
            }
        }
        layers
    };
    Layers {
        send: known(simulcast.send, RidDirection::Send),
        receive: known(simulcast.recv, RidDirection::Recv),
    }
}

pub(super) fn write(media: &mut MediaDescription, layers: &Layers) {
    let both = [
        (&layers.send, RidDirection::Send),
        (&layers.receive, RidDirection::Recv),
    ];
    for (layers, direction) in both {
        for layer in layers {
            media.push(&Rid::new(&*layer.rid, direction));
        }
    }
    if *layers != Layers::default() {
        let alone = |layers: &[SimulcastStream]| layers.iter().map(|layer| vec![layer.clone()]).collect();
        media.push(&Simulcast {
            send: alone(&layers.send),
            recv: alone(&layers.receive),
        });
    }
}

/// The layers that one side sends and the other takes; the taker's word on pausing counts too (RFC 8853 §5.3.3).
pub(super) fn agreed(sent: &[SimulcastStream], taken: &[SimulcastStream]) -> Vec<SimulcastStream> {
    sent.iter()
        .filter_map(|layer| {
            let other = taken.iter().find(|other| other.rid == layer.rid)?;
            Some(SimulcastStream {
                paused: layer.paused || other.paused,
                ..layer.clone()
            })
        })
        .collect()
}
