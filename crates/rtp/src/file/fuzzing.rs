//! Bodies of the fuzz targets: any file can be read to its end or to an error; what was read is written and read the same.

use super::{Error, annex_b, ivf, ogg, ogg_opus, rtpdump, wav};
use crate::payload::opus;
use std::collections::VecDeque;

/// All that a reader gives before its end or its error; the error must name a place within the file.
fn all<T>(file: &[u8], mut next: impl FnMut() -> Result<Option<T>, Error>) -> Vec<T> {
    let mut items = Vec::new();
    loop {
        match next() {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return items,
            Err(error) => {
                check(file, &error);
                return items;
            }
        }
    }
}

fn check(file: &[u8], error: &Error) {
    let len = file.len() as u64;
    match error {
        Error::Io(error) => panic!("a slice cannot fail: {error}"),
        Error::Truncated { offset, .. } => assert_eq!(*offset, len),
        Error::Invalid { offset, .. } | Error::TooLarge { offset, .. } => assert!(*offset <= len, "{offset} of {len}"),
    }
    assert!(error.to_string().contains("byte"));
}

/// IVF.
pub fn ivf(file: &[u8]) {
    let mut reader = match ivf::Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return check(file, &error),
    };
    let header = *reader.header();
    let frames = all(file, || reader.next_frame());
    let mut writer = ivf::Writer::new(Vec::new(), &header).expect("memory");
    for frame in &frames {
        let _ = header.time(frame.timestamp);
        writer
            .write_frame(frame.timestamp, &frame.data)
            .expect("a frame that was read");
    }
    let again = writer.finish().expect("memory");
    let mut reader = ivf::Reader::new(&again[..]).expect("a header that was written");
    assert_eq!(*reader.header(), header);
    assert_eq!(all(&again, || reader.next_frame()), frames);
}

/// Ogg, and Opus in it: as it is, and with the checksums that no fuzzer would find.
pub fn ogg(file: &[u8]) {
    ogg_opus(file);
    let mut correct = file.to_vec();
    correct_checksums(&mut correct);
    ogg_opus(&correct);
}

fn correct_checksums(mut file: &mut [u8]) {
    while file.len() >= 27 {
        let segments = file[27..].iter().take(file[26].into());
        let len = 27 + segments.map(|&segment| usize::from(segment) + 1).sum::<usize>();
        let (page, rest) = file.split_at_mut(len.min(file.len()));
        page[22..26].fill(0);
        let checksum = ogg::crc(page).to_le_bytes();
        page[22..26].copy_from_slice(&checksum);
        file = rest;
    }
}

fn ogg_opus(file: &[u8]) {
    let mut pages = ogg::PageReader::new(file);
    let (mut packets, mut joined) = (ogg::Packets::new(1000), VecDeque::new());
    for page in all(file, || pages.next_page()) {
        packets.push(&page, &mut joined);
        assert!(
            joined
                .drain(..)
                .all(|packet| packet.data.len() as u64 == packet.len.min(1000))
        );
    }

    let mut reader = match ogg_opus::Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return check(file, &error),
    };
    let (head, tags) = (reader.head().clone(), reader.tags().clone());
    let packets = all(file, || reader.next_packet());
    let mut writer = ogg_opus::Writer::new(Vec::new(), 1, &head, &tags).expect("memory");
    for packet in &packets {
        writer.write_packet(&packet.data).expect("a packet that was read");
    }
    let again = writer.finish().expect("memory");
    let mut reader = ogg_opus::Reader::new(&again[..]).expect("headers that were written");
    assert_eq!((reader.head(), reader.tags()), (&head, &tags));
    let again = all(&again, || reader.next_packet());
    assert!(
        again
            .iter()
            .map(|packet| &packet.data)
            .eq(packets.iter().map(|packet| &packet.data))
    );
    let mut position = 0;
    for packet in again {
        assert_eq!(
            (packet.position, Some(packet.samples)),
            (position, opus::duration(&packet.data))
        );
        position += u64::from(packet.samples);
    }
}

/// H.264 and H.265 byte streams.
pub fn annex_b(file: &[u8]) {
    let mut nals = annex_b::NalUnits::new(file);
    let nals = all(file, || nals.next_nal());
    if file.starts_with(&[0, 0, 1]) {
        assert!(annex_b::nal_units(file).eq(nals.iter().map(|nal| &nal[..])));
    }
    for codec in [annex_b::Codec::H264, annex_b::Codec::H265] {
        let mut reader = match annex_b::Reader::with_codec(file, codec) {
            Ok(reader) => reader,
            Err(error) => {
                check(file, &error);
                continue;
            }
        };
        let units = all(file, || reader.next_access_unit());
        let grouped = units.iter().flat_map(|unit| annex_b::nal_units(&unit.data));
        assert!(grouped.eq(nals.iter().map(|nal| &nal[..])));

        let mut writer = annex_b::Writer::new(Vec::new());
        for unit in &units {
            writer
                .write_access_unit(&unit.data)
                .expect("an access unit that was read");
        }
        let again = writer.finish().expect("memory");
        if !units.is_empty() {
            let mut reader = annex_b::Reader::with_codec(&again[..], codec).expect("what was written");
            assert_eq!(all(&again, || reader.next_access_unit()), units);
        }
    }
}

/// WAV.
pub fn wav(file: &[u8]) {
    let mut reader = match wav::Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return check(file, &error),
    };
    let format = reader.format();
    let samples = all(file, || reader.read(37)).concat();
    let mut writer = wav::Writer::new(std::io::Cursor::new(Vec::new()), format).expect("memory");
    writer.write(&samples).expect("whole blocks");
    let again = writer.finish_header().expect("memory").into_inner();
    let mut reader = wav::Reader::new(&again[..]).expect("a header that was written");
    assert_eq!(reader.format(), format);
    assert_eq!(all(&again, || reader.read(1000)).concat(), samples);
}

/// rtpdump.
pub fn rtpdump(file: &[u8]) {
    let mut reader = match rtpdump::Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return check(file, &error),
    };
    let header = *reader.header();
    let records = all(file, || reader.next_record());
    let mut writer = rtpdump::Writer::new(Vec::new(), &header).expect("memory");
    for record in &records {
        writer.write_record(record).expect("a record that was read");
    }
    let again = writer.finish().expect("memory");
    let mut reader = rtpdump::Reader::new(&again[..]).expect("a header that was written");
    assert_eq!(reader.header().source, header.source);
    assert_eq!(all(&again, || reader.next_record()), records);
}
