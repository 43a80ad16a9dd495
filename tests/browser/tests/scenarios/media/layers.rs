//! Header extensions of video that tell of layers, as a browser writes them that sends three: in one stream, and in three.

use super::{open, stats};
use crate::session::{Session, Side};
use peerline::{ExtensionKind, IncomingPacket, ReceiveMode, RtpReceiver, StatsKind};
use peerline_browser_tests::Browser;
use peerline_rtp::extension::dependency_descriptor::{Descriptor, DescriptorReader, Structure};
use peerline_rtp::extension::{Extension as _, SpatialLayer, VideoLayersAllocation};
use peerline_rtp::payload::vp9;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

crate::scenarios! {
    ; only chromium: three_layers_in_a_stream_of_vp9 three_layers_in_a_stream_of_av1 three_streams
}

/// What the page sends at most, in pictures a second and in bits a second.
const RATE: u8 = 10;
const MOST: u32 = 1_500_000;
/// So little that it is for one layer.
const LITTLE: u32 = 60_000;

/// An estimate of the bandwidth has to grow.
const PATIENCE: Duration = Duration::from_secs(25);

/// Width and height of each layer, the smallest first; the page draws the largest.
const SIZES: [(u16, u16); 3] = [(320, 192), (640, 384), (1280, 768)];

async fn three_layers_in_a_stream_of_vp9(browser: Browser) {
    layers_in_a_stream(browser, "VP9").await;
}

async fn three_layers_in_a_stream_of_av1(browser: Browser) {
    layers_in_a_stream(browser, "AV1").await;
}

/// Each frame says to which of three sizes and three rates it belongs, and the stream what is spent on them.
async fn layers_in_a_stream(browser: Browser, codec: &str) {
    let encodings = json!([{"scalabilityMode": "L3T3", "maxFramerate": RATE, "maxBitrate": MOST}]);
    let (session, receiver) = sent_by_the_page(browser, codec, encodings).await;
    let mut told = Told {
        is_vp9: codec == "VP9",
        ..Told::default()
    };
    let all = |told: &Told| told.layers.len() == 9 && told.allocation.len() == 3 && told.targets.is_some();
    told.read(&receiver, "all layers", |told| {
        all(told) && near(Told::spent_on(&told.allocation[0]), target(&session, None))
    })
    .await;
    let structure = told.structure();
    let sizes = SIZES.map(|(width, height)| (width - 1, height - 1));
    assert_eq!(structure.resolutions_minus_one[..], sizes, "{structure:?}");
    assert_eq!(structure.decode_targets, 9);
    let targets: BTreeSet<_> = (0..9).map(|target| structure.decode_target_layers(target)).collect();
    assert_eq!(targets, told.layers);
    assert_eq!(told.targets, Some(structure.all_decode_targets()));
    assert_eq!(told.index, Some(0));
    for (layer, id) in told.allocation.iter().zip(0..) {
        assert_eq!((layer.stream_index, layer.spatial_id), (0, id));
        // Each of the three rates needs what is below it, and some more.
        assert_eq!(layer.target_kbps.len(), 3, "{layer:?}");
        assert!(Told::spent_on(layer) <= MOST / 1000, "{layer:?}");
        assert!(layer.target_kbps.is_sorted_by(|less, more| less < more), "{layer:?}");
    }
    assert_eq!(told.sizes(), SIZES);
    told.print(codec);

    // For so little it sends one size.
    page_sets(&session, &format!("encodings[0].maxBitrate = {LITTLE}"));
    let lowest = (0..9).filter(|target| structure.decode_target_layers(*target).0 == 0);
    let lowest = lowest.fold(0, |mask, target| mask | 1 << target);
    told.read(&receiver, "the lowest layers alone", |told| {
        told.allocation.len() == 1 && told.targets == Some(lowest) && near(Told::spent_on(&told.allocation[0]), LITTLE)
    })
    .await;
    assert_eq!(told.sizes(), SIZES[..1]);
    told.print(codec);
    told.layers.clear();
    told.read(&receiver, "their frames", |told| told.layers.len() == 3)
        .await;
    assert_eq!(told.layers, BTreeSet::from([(0, 0), (0, 1), (0, 2)]));
}

/// Each of three streams says what is spent on all of them, and which of them it is itself.
async fn three_streams(browser: Browser) {
    let encoding = |(rid, by)| {
        json!({
            "rid": rid,
            "scaleResolutionDownBy": by,
            "maxFramerate": RATE,
            "maxBitrate": MOST / 2 / by,
            "scalabilityMode": "L1T3",
        })
    };
    let rids = ["q", "h", "f"];
    let encodings = rids.into_iter().zip([4, 2, 1]).map(encoding).collect();
    let (session, receiver) = sent_by_the_page(browser, "VP8", encodings).await;
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    let is_told = |told: &BTreeMap<String, Told>| {
        let whole = |told: &Told| {
            let mut spent = told.allocation.iter().map(Told::spent_on).zip(rids);
            told.layers.len() == 3
                && told.allocation.len() == 3
                && spent.all(|(spent, rid)| near(spent, target(&session, Some(rid))))
        };
        told.len() == 3 && told.values().all(whole)
    };
    let all = async {
        while !is_told(&told) {
            let packet = receiver.recv_packet().await.expect("the track goes on");
            let rid = packet.rid.as_deref().expect("each packet is of a layer").to_owned();
            told.entry(rid).or_default().take(&packet);
        }
    };
    let read = timeout(PATIENCE, all).await;
    assert!(read.is_ok(), "waited {PATIENCE:?}: {told:?}");
    for (rid, index) in rids.into_iter().zip(0..) {
        let told = &told[rid];
        assert_eq!(told.index, Some(index), "{rid}");
        let streams: Vec<_> = told
            .allocation
            .iter()
            .map(|layer| (layer.stream_index, layer.spatial_id))
            .collect();
        assert_eq!(streams, [(0, 0), (1, 0), (2, 0)], "{rid}");
        assert!(
            told.allocation.iter().all(|layer| layer.target_kbps.len() == 3),
            "{rid}: {told:?}"
        );
        assert_eq!(told.sizes(), SIZES, "{rid}");
        let structure = told.structure();
        let (width, height) = SIZES[usize::from(index)];
        assert_eq!(structure.resolutions_minus_one[..], [(width - 1, height - 1)], "{rid}");
        assert_eq!(told.layers, BTreeSet::from([(0, 0), (0, 1), (0, 2)]), "{rid}");
        told.print(rid);
    }
    let streams = stats(&session, |kind| match kind {
        StatsKind::InboundRtp(inbound) => Some(inbound.ssrc),
        _ => None,
    });
    assert_eq!(streams.len(), 3);

    // The largest is sent no more.
    page_sets(&session, "encodings[2].active = false");
    told.remove("f");
    let all = async {
        while told.values().any(|told| told.allocation.len() != 2) {
            let packet = receiver.recv_packet().await.expect("the track goes on");
            if let Some(told) = packet.rid.as_deref().and_then(|rid| told.get_mut(rid)) {
                told.take(&packet);
            }
        }
    };
    let read = timeout(PATIENCE, all).await;
    assert!(read.is_ok(), "waited {PATIENCE:?}: {told:?}");
    for (rid, told) in &told {
        assert_eq!(told.sizes(), SIZES[..2], "{rid}");
        told.print(rid);
    }
}

/// The page sends pictures with these encodings, and describes their layers.
async fn sent_by_the_page(browser: Browser, codec: &str, encodings: Value) -> (Session, RtpReceiver) {
    let mut session = open(browser).await;
    let arguments = [json!("video"), json!("sendonly"), json!([codec]), encodings, json!(8)];
    session.page.call("media.add", &arguments);
    session.page.eval("media.describeLayers()");
    let take_packets = |session: &Session| {
        let receiver = session.pc.transceivers()[0].receiver();
        receiver.set_mode(ReceiveMode::Packets);
    };
    session.connect_with(Side::Page, "", take_packets).await;
    let receiver = session.pc.transceivers()[0].receiver();
    (session, receiver)
}

/// The page changes its sender's parameters.
fn page_sets(session: &Session, change: &str) {
    session.page.eval(&format!(
        "(async () => {{ const [sender] = lab.pc.getSenders(); const parameters = sender.getParameters(); \
         parameters.{change}; await sender.setParameters(parameters); }})()"
    ));
}

/// What an encoder of the page is to make, in bits a second: that of the layer, or of the stream's lowest one.
fn target(session: &Session, rid: Option<&str>) -> u32 {
    let outbound = session.page.eval("media.stats('outbound-rtp', 'video')");
    let mut all = outbound.as_array().expect("a list").iter();
    let own = all.find(|stats| rid.is_none() || stats["rid"].as_str() == rid);
    own.and_then(|stats| stats["targetBitrate"].as_f64()).unwrap_or(0.0) as u32
}

/// True if so many kbit/s are what was allowed in bits a second.
fn near(spent: u32, allowed: u32) -> bool {
    (spent * 1000).abs_diff(allowed) <= allowed / 20
}

/// What packets of a stream have told.
#[derive(Debug, Default)]
struct Told {
    /// Payloads say the layer of their frames, too (RFC 9628 §4.2).
    is_vp9: bool,
    reader: DescriptorReader,
    /// The frame before.
    before: Option<Descriptor>,
    /// Spatial and temporal ids of the frames.
    layers: BTreeSet<(u8, u8)>,
    /// The decode targets that there are, by the latest word.
    targets: Option<u32>,
    /// Which stream this is, and what is spent on the layers of all.
    index: Option<u8>,
    allocation: Vec<SpatialLayer>,
    /// The longest value that told so, and the latest.
    values: [Vec<u8>; 2],
}

impl Told {
    /// Reads packets until `done`.
    async fn read(&mut self, receiver: &RtpReceiver, what: &str, done: impl Fn(&Self) -> bool) {
        let all = async {
            while !done(self) {
                self.take(&receiver.recv_packet().await.expect("the track goes on"));
            }
        };
        let read = timeout(PATIENCE, all).await;
        assert!(read.is_ok(), "waited {PATIENCE:?} for {what}: {self:?}");
    }

    fn take(&mut self, packet: &IncomingPacket) {
        if let Some(value) = packet.extensions.get(ExtensionKind::VideoLayersAllocation) {
            let told = VideoLayersAllocation::parse(value).expect("it is well-formed");
            let mut out = Vec::new();
            told.write(&mut out);
            assert_eq!(out, value, "{told:?}");
            self.index = Some(told.stream_index);
            let is_same = |one: &SpatialLayer, other: &SpatialLayer| {
                (one.stream_index, one.spatial_id) == (other.stream_index, other.spatial_id)
            };
            let mut layers = told.layers.to_vec();
            for layer in layers.iter_mut().filter(|layer| layer.resolution.is_none()) {
                // Sizes are told when they change.
                let before = self.allocation.iter().find(|before| is_same(before, layer));
                layer.resolution = before.and_then(|before| before.resolution);
            }
            self.allocation = layers;
            self.values[1] = value.to_vec();
        }
        let value = packet.extensions.get(ExtensionKind::DependencyDescriptor);
        let value = value.expect("each packet has it");
        let frame = self.reader.read(value).expect("it is well-formed");
        if let Some(targets) = frame.active_decode_targets {
            self.targets = Some(targets);
            if value.len() > self.values[0].len() {
                self.values[0] = value.to_vec();
            }
        }
        let layer = (frame.frame.spatial_id, frame.frame.temporal_id);
        if self.is_vp9
            && let Ok((descriptor, _)) = vp9::Descriptor::parse(&packet.payload)
            && let Some(own) = descriptor.layer
        {
            assert_eq!((own.spatial_id, own.temporal_id), layer, "{frame:?}");
        }
        if let Some(before) = &self.before {
            // Nothing is lost: frames follow each other, and the packets of each.
            assert_eq!(frame.start_of_frame, before.end_of_frame, "{frame:?}");
            let step = frame.frame_number.0.wrapping_sub(before.frame_number.0);
            match frame.start_of_frame {
                false => assert_eq!(step, 0, "{frame:?}"),
                // Streams of one picture number their frames together.
                true if packet.rid.is_some() => assert!((1..100).contains(&step), "{frame:?}"),
                true => assert_eq!(step, 1, "{frame:?}"),
            }
        }
        self.layers.insert(layer);
        self.before = Some(frame);
    }

    fn structure(&self) -> &Structure {
        self.reader.structure().expect("the first frame brings one")
    }

    /// What is spent on a layer, at its full rate, in kbit/s.
    fn spent_on(layer: &SpatialLayer) -> u32 {
        layer.target_kbps.last().copied().unwrap_or(0)
    }

    /// How large pictures are in each layer; all come as often.
    fn sizes(&self) -> Vec<(u16, u16)> {
        let size = |layer: &SpatialLayer| {
            let size = layer.resolution.expect("it is told");
            assert_eq!(size.max_framerate, RATE);
            (size.width_minus_one + 1, size.height_minus_one + 1)
        };
        self.allocation.iter().map(size).collect()
    }

    fn print(&self, what: &str) {
        let hex = |value: &[u8]| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let [descriptor, allocation] = &self.values;
        eprintln!("{what}: {} {} {:?}", hex(descriptor), hex(allocation), self.allocation);
    }
}
