//! Writes a descriptor: the template that says most of it, and what that does not say.

use super::{
    Descriptor, Dtis, ExtensionError, FrameDiffs, MAX_DECODE_TARGETS, MAX_SPATIAL_LAYERS, MAX_TEMPLATES,
    MAX_TEMPORAL_LAYERS, Structure, Template,
};
use crate::bits::BitWriter;

/// What of a frame its template does not say.
struct Custom {
    dtis: bool,
    fdiffs: bool,
    chains: bool,
}

impl Descriptor {
    /// Appends the value: three bytes where a template says all and no decode targets are told. The packet that starts a coded
    /// video sequence brings its structure: `with_structure`.
    ///
    /// # Errors
    /// [`ExtensionError::UnknownTemplate`] if the structure has no template for the frame's layers, and
    /// [`ExtensionError::OutOfRange`] if a number is larger than its field, or the lists of structure and frame do not belong
    /// together. `out` is as before.
    pub fn write(&self, structure: &Structure, with_structure: bool, out: &mut Vec<u8>) -> Result<(), ExtensionError> {
        structure.check()?;
        self.check(structure)?;
        let (index, custom) = self.best_template(structure).ok_or(ExtensionError::UnknownTemplate)?;
        let implied = if with_structure {
            Some(structure.all_decode_targets())
        } else {
            None
        };
        let active = self.active_decode_targets.filter(|mask| Some(*mask) != implied);

        let mut w = BitWriter::new(out);
        w.bit(self.start_of_frame);
        w.bit(self.end_of_frame);
        w.bits(6, (u32::from(structure.template_id_offset) + index as u32) % 64);
        w.bits(16, self.frame_number.0.into());
        if !(with_structure || active.is_some() || custom.dtis || custom.fdiffs || custom.chains) {
            return Ok(());
        }
        w.bit(with_structure);
        w.bit(active.is_some());
        w.bit(custom.dtis);
        w.bit(custom.fdiffs);
        w.bit(custom.chains);
        if with_structure {
            structure.write(&mut w);
        }
        if let Some(mask) = active {
            w.bits(structure.decode_targets.into(), mask);
        }
        if custom.dtis {
            write_dtis(&mut w, &self.frame.dtis);
        }
        if custom.fdiffs {
            write_frame_fdiffs(&mut w, &self.frame.frame_diffs);
        }
        if custom.chains {
            self.frame.chain_diffs.iter().for_each(|diff| w.bits(8, (*diff).into()));
        }
        Ok(())
    }

    /// Of the templates for the frame's layers, the one that leaves the least to say.
    fn best_template(&self, structure: &Structure) -> Option<(usize, Custom)> {
        let frame = &self.frame;
        let layers = (frame.spatial_id, frame.temporal_id);
        let candidates = structure.templates.iter().enumerate();
        let candidates = candidates.filter(|(_, template)| (template.spatial_id, template.temporal_id) == layers);
        let with_custom = candidates.map(|(index, template)| {
            let custom = Custom {
                dtis: template.dtis != frame.dtis,
                fdiffs: template.frame_diffs != frame.frame_diffs,
                chains: template.chain_diffs != frame.chain_diffs,
            };
            (index, custom)
        });
        with_custom.min_by_key(|(_, custom)| {
            let dtis = usize::from(custom.dtis) * 2 * frame.dtis.len();
            let fdiffs = frame.frame_diffs.iter().map(|diff| 2 + 4 * fdiff_size(*diff) as usize);
            let fdiffs = if custom.fdiffs { fdiffs.sum::<usize>() + 2 } else { 0 };
            let chains = usize::from(custom.chains) * 8 * frame.chain_diffs.len();
            dtis + fdiffs + chains
        })
    }

    fn check(&self, structure: &Structure) -> Result<(), ExtensionError> {
        let frame = &self.frame;
        let sizes =
            (frame.dtis.len(), frame.chain_diffs.len()) == (structure.decode_targets.into(), structure.chains.into());
        let references = frame.frame_diffs.iter().all(|diff| (1..=4096).contains(diff));
        let active = self.active_decode_targets.unwrap_or(0) & !structure.all_decode_targets() == 0;
        (sizes && references && active)
            .then_some(())
            .ok_or(ExtensionError::OutOfRange)
    }
}

impl Structure {
    fn check(&self) -> Result<(), ExtensionError> {
        let counts = self.template_id_offset < 64
            && (1..=MAX_DECODE_TARGETS).contains(&self.decode_targets.into())
            && (1..=MAX_TEMPLATES).contains(&self.templates.len())
            && self.chains <= self.decode_targets;
        let protected = match self.chains {
            0 => self.protected_by.is_empty(),
            chains => {
                self.protected_by.len() == usize::from(self.decode_targets)
                    && self.protected_by.iter().all(|chain| *chain < chains)
            }
        };
        let spatial_layers = self.templates.last().map_or(0, |last| usize::from(last.spatial_id) + 1);
        let sizes = self.resolutions_minus_one.len();
        let templates = self.templates.iter().all(|template| self.check_template(template));
        let first = Template::default();
        let before = std::iter::once(&first).chain(&self.templates);
        let order = before
            .zip(&self.templates)
            .all(|(before, template)| next_layer(before, template).is_some());
        let starts = self
            .templates
            .first()
            .is_some_and(|first| (first.spatial_id, first.temporal_id) == (0, 0));
        let good = counts && protected && (sizes == 0 || sizes == spatial_layers) && templates && order && starts;
        good.then_some(()).ok_or(ExtensionError::OutOfRange)
    }

    fn check_template(&self, template: &Template) -> bool {
        template.spatial_id < MAX_SPATIAL_LAYERS
            && template.temporal_id < MAX_TEMPORAL_LAYERS
            && template.dtis.len() == usize::from(self.decode_targets)
            && template.frame_diffs.iter().all(|diff| (1..=16).contains(diff))
            && template.chain_diffs.len() == usize::from(self.chains)
            && template.chain_diffs.iter().all(|diff| *diff < 16)
    }

    /// `template_dependency_structure`
    fn write(&self, w: &mut BitWriter<'_>) {
        w.bits(6, self.template_id_offset.into());
        w.bits(5, u32::from(self.decode_targets) - 1);
        for pair in self.templates.windows(2) {
            w.bits(2, next_layer(&pair[0], &pair[1]).unwrap_or(0));
        }
        w.bits(2, 3);
        self.templates.iter().for_each(|template| write_dtis(w, &template.dtis));
        for template in &self.templates {
            for diff in template.frame_diffs.iter() {
                w.bit(true);
                w.bits(4, u32::from(*diff) - 1);
            }
            w.bit(false);
        }
        w.non_symmetric(u32::from(self.decode_targets) + 1, self.chains.into());
        for chain in self.protected_by.iter() {
            w.non_symmetric(self.chains.into(), (*chain).into());
        }
        for diff in self.templates.iter().flat_map(|template| template.chain_diffs.iter()) {
            w.bits(4, (*diff).into());
        }
        w.bit(!self.resolutions_minus_one.is_empty());
        for (width, height) in self.resolutions_minus_one.iter() {
            w.bits(16, (*width).into());
            w.bits(16, (*height).into());
        }
    }
}

/// `next_layer_idc` between two templates (table A.2); `None` if one cannot follow the other.
fn next_layer(before: &Template, template: &Template) -> Option<u32> {
    let (spatial, temporal) = (before.spatial_id, before.temporal_id);
    let next = (template.spatial_id, template.temporal_id);
    match next {
        _ if next == (spatial, temporal) => Some(0),
        _ if next == (spatial, temporal.wrapping_add(1)) => Some(1),
        _ if next == (spatial.wrapping_add(1), 0) => Some(2),
        _ => None,
    }
}

fn write_dtis(w: &mut BitWriter<'_>, dtis: &Dtis) {
    dtis.iter().for_each(|dti| w.bits(2, *dti as u32));
}

/// `frame_fdiffs`
fn write_frame_fdiffs(w: &mut BitWriter<'_>, diffs: &FrameDiffs) {
    for diff in diffs.iter() {
        let size = fdiff_size(*diff);
        w.bits(2, size);
        w.bits(4 * size, u32::from(*diff) - 1);
    }
    w.bits(2, 0);
}

/// `next_fdiff_size`: how many times four bits the difference takes.
fn fdiff_size(diff: u16) -> u32 {
    match diff {
        0..=16 => 1,
        17..=256 => 2,
        _ => 3,
    }
}
