use super::*;

fn template(layers: (u8, u8), dtis: &str, frame_diffs: &[u16], chain_diffs: &[u8]) -> Template {
    Template {
        spatial_id: layers.0,
        temporal_id: layers.1,
        dtis: dtis
            .chars()
            .map(|c| match c {
                'S' => Dti::Switch,
                'D' => Dti::Discardable,
                'R' => Dti::Required,
                _ => Dti::NotPresent,
            })
            .collect(),
        frame_diffs: frame_diffs.iter().copied().collect(),
        chain_diffs: chain_diffs.iter().copied().collect(),
    }
}

/// L2T1 with two chains, as in the specification's §A.10.
fn l2t1(template_id_offset: u8) -> Structure {
    Structure {
        template_id_offset,
        decode_targets: 2,
        templates: vec![
            template((0, 0), "SR", &[2], &[2, 1]),
            template((0, 0), "SS", &[], &[0, 0]),
            template((1, 0), "-S", &[2, 1], &[1, 1]),
            template((1, 0), "-S", &[1], &[1, 1]),
        ],
        protected_by: [0, 1].into_iter().collect(),
        chains: 2,
        resolutions_minus_one: [(319, 179), (639, 359)].into_iter().collect(),
    }
}

fn written(descriptor: &Descriptor, structure: &Structure, with_structure: bool) -> Vec<u8> {
    let mut out = Vec::new();
    descriptor.write(structure, with_structure, &mut out).unwrap();
    out
}

/// Of Chromium 156: pictures of 160 by 96 in one layer, by VP8 and by VP9 (AV1 is the same); a keyframe, and the frame after it.
#[test]
fn a_browser_writes_the_same() {
    let (v8, v9) = (
        &[0xc0, 0, 1, 0x80, 0, 0x3a, 0x40, 0x80, 0x4f, 0x80, 0x2f, 0x80][..],
        &[0xc0, 0, 1, 0x80, 0, 0x3a, 0x41, 1, 0x80, 0x4f, 0x80, 0x2f, 0x80][..],
    );
    for keyframe in [v8, v9] {
        let mut reader = DescriptorReader::default();
        let first = reader.read(keyframe).unwrap();
        let then = reader.read(&[0xc1, 0, 2]).unwrap();
        let structure = reader.structure().unwrap();
        assert_eq!((structure.decode_targets, structure.templates.len()), (1, 2));
        assert_eq!(structure.resolutions_minus_one[..], [(159, 95)]);
        for (frame, number, diffs) in [(&first, 1, &[][..]), (&then, 2, &[1])] {
            assert_eq!((frame.start_of_frame, frame.end_of_frame), (true, true));
            assert_eq!(
                (frame.frame_number, &frame.frame.frame_diffs[..]),
                (Serial16(number), diffs)
            );
        }
        assert_eq!(written(&first, structure, true), keyframe);
        assert_eq!(written(&then, structure, false), [0xc1, 0, 2]);
    }
}

/// Of Chromium 156: a stream's first packet, of pictures of 1280 by 768 in three sizes and three rates (L3T3), by VP9 when it sends the
/// first size alone, and by AV1 when it sends two.
#[test]
fn a_browser_writes_nine_layers_the_same() {
    let structure = "c10001c0081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b82\
                     0ac1282503157f974000ca864330e222222eca8655304224230eca87753013f00bf027f017f04ff02ff";
    for (active, present) in [("0380", 0b111), ("1f80", 0b11_1111)] {
        let hex = format!("{structure}{active}");
        let digits = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
        let value: Vec<u8> = digits.collect();
        let mut reader = DescriptorReader::default();
        let first = reader.read(&value).unwrap();
        assert_eq!((first.start_of_frame, first.end_of_frame), (true, true));
        assert_eq!((first.frame.spatial_id, first.frame.temporal_id), (0, 0));
        assert_eq!(first.frame.frame_diffs[..], []);
        assert_eq!(first.active_decode_targets, Some(present));
        assert_eq!(first.resolution_minus_one, Some((319, 191)));
        let structure = reader.structure().unwrap();
        assert_eq!((structure.decode_targets, structure.templates.len()), (9, 15));
        let layers = (0..9).map(|target| structure.decode_target_layers(target));
        assert!(layers.eq((0..9).map(|target: u8| (target / 3, target % 3))));
        assert_eq!(structure.protected_by[..], [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(
            structure.resolutions_minus_one[..],
            [(319, 191), (639, 383), (1279, 767)]
        );
        // The largest pictures at the highest rate: nothing depends on them.
        let last = structure.templates[14];
        assert_eq!((last.spatial_id, last.temporal_id), (2, 2));
        let dtis = [[Dti::NotPresent; 8].as_slice(), &[Dti::Discardable]].concat();
        assert_eq!((&last.dtis[..], &last.frame_diffs[..]), (&dtis[..], &[3, 1][..]));
        assert_eq!(last.chain_diffs[..], [11, 10, 9]);
        assert_eq!(written(&first, structure, true), value);
    }
}

#[test]
fn one_layer_bit_by_bit() {
    // Written by hand from §A.8.2: one template, one decode target, no chains, no resolutions.
    let structure = Structure {
        template_id_offset: 5,
        decode_targets: 1,
        templates: vec![template((0, 0), "S", &[], &[])],
        ..Structure::default()
    };
    let mut descriptor = Descriptor::from_template(&structure, 0, Serial16(0x0102));
    descriptor.active_decode_targets = Some(1);
    // start, end, template id 5; frame number; structure flag and four others; id offset 5; one decode target; no more
    // layers; DTI 2; no fdiff; chain_cnt 0 of ns(2), which is one bit; no resolutions; padding.
    let bits = [
        "11000101", "00000001", "00000010", "10000", "000101", "00000", "11", "10", "0", "0", "0",
    ]
    .concat();
    let bits = format!("{bits:0<width$}", width = bits.len().next_multiple_of(8));
    let bytes: Vec<u8> = (0..bits.len() / 8)
        .map(|i| u8::from_str_radix(&bits[8 * i..8 * i + 8], 2).unwrap())
        .collect();
    assert_eq!(written(&descriptor, &structure, true), bytes);
    let mut reader = DescriptorReader::default();
    assert_eq!(reader.read(&bytes), Ok(descriptor));
    assert_eq!(reader.structure(), Some(&structure));
}

#[test]
fn frames_that_differ_from_their_template_say_how() {
    let structure = l2t1(60);
    let mut reader = DescriptorReader::default();
    let key = Descriptor::from_template(&structure, 1, Serial16(65535));
    let key = Descriptor {
        active_decode_targets: Some(3),
        end_of_frame: false,
        ..key
    };
    assert_eq!(reader.read(&written(&key, &structure, true)), Ok(key));
    assert_eq!(reader.structure(), Some(&structure));
    assert_eq!(
        (structure.decode_target_layers(0), structure.decode_target_layers(1)),
        ((0, 0), (1, 0))
    );
    assert_eq!(key.resolution_minus_one, Some((319, 179)));

    let mut delta = Descriptor::from_template(&structure, 3, Serial16(0));
    assert_eq!(written(&delta, &structure, false).len(), 3);
    delta.active_decode_targets = Some(1);
    assert_eq!(written(&delta, &structure, false).len(), 4);
    delta.frame.frame_diffs = [1, 17, 4096].into_iter().collect();
    delta.frame.chain_diffs = [200, 1].into_iter().collect();
    delta.frame.dtis = template((0, 0), "DR", &[], &[]).dtis;
    let bytes = written(&delta, &structure, false);
    assert_eq!(reader.read(&bytes), Ok(delta));
    for len in 0..bytes.len() {
        assert_ne!(reader.read(&bytes[..len]), Ok(delta), "{len}");
    }
}

#[test]
fn a_late_structure_serves_its_packet_alone() {
    let (old, new) = (l2t1(0), l2t1(10));
    let mut reader = DescriptorReader::default();
    let late = Descriptor {
        active_decode_targets: Some(3),
        ..Descriptor::from_template(&old, 1, Serial16(5))
    };
    let first = Descriptor {
        active_decode_targets: Some(3),
        ..Descriptor::from_template(&new, 1, Serial16(9))
    };
    let delta = Descriptor::from_template(&old, 0, Serial16(6));
    let delta_bytes = written(&delta, &old, false);
    assert_eq!(reader.read(&delta_bytes), Err(ExtensionError::UnknownTemplate));
    assert_eq!(reader.read(&written(&first, &new, true)), Ok(first));
    assert_eq!(reader.read(&written(&late, &old, true)), Ok(late));
    assert_eq!(reader.structure(), Some(&new));
    assert_eq!(reader.read(&delta_bytes), Err(ExtensionError::UnknownTemplate));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let structure = l2t1(0);
    let frame = Descriptor::from_template(&structure, 0, Serial16(1));
    let fails = |frame: &Descriptor, structure: &Structure| {
        let mut out = vec![7];
        let error = frame.write(structure, true, &mut out).unwrap_err();
        assert_eq!(out, [7]);
        error
    };
    let mut other = frame;
    other.frame.temporal_id = 1;
    assert_eq!(fails(&other, &structure), ExtensionError::UnknownTemplate);
    let mut other = frame;
    other.frame.frame_diffs = [4097].into_iter().collect();
    assert_eq!(fails(&other, &structure), ExtensionError::OutOfRange);
    let other = Descriptor {
        active_decode_targets: Some(4),
        ..frame
    };
    assert_eq!(fails(&other, &structure), ExtensionError::OutOfRange);
    let mut unordered = structure.clone();
    unordered.templates.reverse();
    assert_eq!(fails(&frame, &unordered), ExtensionError::OutOfRange);
    let mut empty = structure;
    empty.templates.clear();
    assert_eq!(fails(&frame, &empty), ExtensionError::OutOfRange);
}

#[test]
fn layers_and_references_are_bounded() {
    // Templates without end, each with the next temporal id.
    let mut endless = vec![0xc0, 0, 0, 0x80, 0];
    endless.extend([0x55; 40]);
    assert_eq!(
        DescriptorReader::default().read(&endless),
        Err(ExtensionError::OutOfRange)
    );
    // … and with the same ids.
    endless[5..].fill(0);
    assert_eq!(
        DescriptorReader::default().read(&endless),
        Err(ExtensionError::OutOfRange)
    );
}

#[test]
fn a_forwarder_changes_the_frame_number() {
    let structure = l2t1(0);
    let frame = Descriptor::from_template(&structure, 0, Serial16(1));
    let mut bytes = written(&frame, &structure, true);
    assert!(Descriptor::set_frame_number(&mut bytes, Serial16(0xabcd)));
    let read = DescriptorReader::default().read(&bytes).unwrap();
    assert_eq!(
        read,
        Descriptor {
            frame_number: Serial16(0xabcd),
            active_decode_targets: Some(3),
            ..frame
        }
    );
    assert!(!Descriptor::set_frame_number(&mut [0; 2], Serial16(0)));
}
