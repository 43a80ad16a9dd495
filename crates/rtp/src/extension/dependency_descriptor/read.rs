//! [`DescriptorReader`]: reads descriptors by the templates that came before.

use peerline_wire::Serial16;

use super::{
    ChainDiffs, Descriptor, Dti, Dtis, ExtensionError, FrameDiffs, MAX_SPATIAL_LAYERS, MAX_TEMPLATES,
    MAX_TEMPORAL_LAYERS, Structure, Template,
};
use crate::InlineList;
use crate::bits::{BitReader, OutOfBits};

/// Reads the descriptors of one stream, in any order.
#[derive(Clone, Debug, Default)]
pub struct DescriptorReader {
    /// The newest structure, and the number of the frame that it came with.
    current: Option<(Structure, Serial16)>,
}

impl DescriptorReader {
    /// The newest structure.
    #[must_use]
    pub fn structure(&self) -> Option<&Structure> {
        self.current.as_ref().map(|(structure, _)| structure)
    }

    /// Reads a packet's descriptor, and keeps its structure if it brings one.
    ///
    /// # Errors
    /// [`ExtensionError::UnknownTemplate`] if the structure that it is by has not come. Else the value is malformed, and
    /// nothing of it is kept.
    pub fn read(&mut self, value: &[u8]) -> Result<Descriptor, ExtensionError> {
        let mut r = BitReader::new(value);
        let (start_of_frame, end_of_frame) = (r.bit()?, r.bit()?);
        let template_id = r.bits(6)? as u8;
        let frame_number = Serial16(r.bits(16)? as u16);
        // "if (sz > 3) extended_descriptor_fields()"
        let extended = value.len() > 3;
        let mut flag = || if extended { r.bit() } else { Ok(false) };
        let (brings_structure, brings_active) = (flag()?, flag()?);
        let (custom_dtis, custom_fdiffs, custom_chains) = (flag()?, flag()?, flag()?);

        let new = if brings_structure {
            Some(structure(&mut r)?)
        } else {
            None
        };
        let by = new
            .as_ref()
            .or(self.structure())
            .ok_or(ExtensionError::UnknownTemplate)?;
        let mut active_decode_targets = new.as_ref().map(Structure::all_decode_targets);
        if brings_active {
            active_decode_targets = Some(r.bits(by.decode_targets.into())?);
        }
        let mut frame = *by.template(template_id).ok_or(ExtensionError::UnknownTemplate)?;
        if custom_dtis {
            frame.dtis = dtis(&mut r, by.decode_targets)?;
        }
        if custom_fdiffs {
            frame.frame_diffs = frame_fdiffs(&mut r)?;
        }
        if custom_chains {
            frame.chain_diffs = chain_fdiffs(&mut r, by.chains, 8)?;
        }
        let resolution_minus_one = by.resolutions_minus_one.get(usize::from(frame.spatial_id)).copied();
        if let Some(structure) = new {
            self.keep(structure, frame_number);
        }
        Ok(Descriptor {
            start_of_frame,
            end_of_frame,
            frame_number,
            frame,
            active_decode_targets,
            resolution_minus_one,
        })
    }

    /// A structure that came late does not replace one of a later frame.
    fn keep(&mut self, structure: Structure, frame_number: Serial16) {
        match &self.current {
            Some((_, newest)) if frame_number.precedes(*newest) => {}
            _ => self.current = Some((structure, frame_number)),
        }
    }
}

/// `template_dependency_structure`
fn structure(r: &mut BitReader<'_>) -> Result<Structure, ExtensionError> {
    let mut structure = Structure {
        template_id_offset: r.bits(6)? as u8,
        decode_targets: r.bits(5)? as u8 + 1,
        templates: template_layers(r)?,
        ..Structure::default()
    };
    for template in &mut structure.templates {
        template.dtis = dtis(r, structure.decode_targets)?;
    }
    for template in &mut structure.templates {
        template.frame_diffs = template_fdiffs(r)?;
    }
    template_chains(r, &mut structure)?;
    if r.bit()? {
        let layers = structure.templates.last().map_or(0, |last| last.spatial_id) + 1;
        for _ in 0..layers {
            let size = (r.bits(16)? as u16, r.bits(16)? as u16);
            structure.resolutions_minus_one.push(size);
        }
    }
    Ok(structure)
}

fn template_layers(r: &mut BitReader<'_>) -> Result<Vec<Template>, ExtensionError> {
    let mut templates = Vec::new();
    let mut next = Template::default();
    loop {
        if templates.len() == MAX_TEMPLATES {
            return Err(ExtensionError::OutOfRange);
        }
        templates.push(next);
        match r.bits(2)? {
            0 => {}
            1 => next.temporal_id += 1,
            2 => (next.spatial_id, next.temporal_id) = (next.spatial_id + 1, 0),
            _ => return Ok(templates),
        }
        if next.spatial_id >= MAX_SPATIAL_LAYERS || next.temporal_id >= MAX_TEMPORAL_LAYERS {
            return Err(ExtensionError::OutOfRange);
        }
    }
}

/// `template_dtis` of one template, and `frame_dtis`
fn dtis(r: &mut BitReader<'_>, decode_targets: u8) -> Result<Dtis, ExtensionError> {
    let mut dtis = Dtis::default();
    for _ in 0..decode_targets {
        dtis.push(match r.bits(2)? {
            0 => Dti::NotPresent,
            1 => Dti::Discardable,
            2 => Dti::Switch,
            _ => Dti::Required,
        });
    }
    Ok(dtis)
}

fn template_fdiffs(r: &mut BitReader<'_>) -> Result<FrameDiffs, ExtensionError> {
    let mut diffs = FrameDiffs::default();
    while r.bit()? {
        if !diffs.push(r.bits(4)? as u16 + 1) {
            return Err(ExtensionError::OutOfRange);
        }
    }
    Ok(diffs)
}

fn frame_fdiffs(r: &mut BitReader<'_>) -> Result<FrameDiffs, ExtensionError> {
    let mut diffs = FrameDiffs::default();
    loop {
        let size = r.bits(2)?;
        if size == 0 {
            return Ok(diffs);
        }
        if !diffs.push(r.bits(4 * size)? as u16 + 1) {
            return Err(ExtensionError::OutOfRange);
        }
    }
}

fn template_chains(r: &mut BitReader<'_>, structure: &mut Structure) -> Result<(), ExtensionError> {
    structure.chains = r.non_symmetric(u32::from(structure.decode_targets) + 1)? as u8;
    if structure.chains == 0 {
        return Ok(());
    }
    let mut protected_by = InlineList::default();
    for _ in 0..structure.decode_targets {
        protected_by.push(r.non_symmetric(structure.chains.into())? as u8);
    }
    structure.protected_by = protected_by;
    for template in &mut structure.templates {
        template.chain_diffs = chain_fdiffs(r, structure.chains, 4)?;
    }
    Ok(())
}

/// `template_chain_fdiff` of one template, and `frame_chains`
fn chain_fdiffs(r: &mut BitReader<'_>, chains: u8, bits: u32) -> Result<ChainDiffs, ExtensionError> {
    let mut diffs = ChainDiffs::default();
    for _ in 0..chains {
        diffs.push(r.bits(bits)? as u8);
    }
    Ok(diffs)
}

impl From<OutOfBits> for ExtensionError {
    fn from(OutOfBits: OutOfBits) -> Self {
        Self::WrongLength
    }
}
