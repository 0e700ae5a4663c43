//! A company that does not exist: believable records of all kinds without a sensor, for demonstrations, tests and load.
//!
//! From a seed the simulator builds a world (devices, policies, hosts, people, websites, attackers) and the catalog of
//! metadata records that name everything in it. Each step is one thing that happens: a connection with the intrusion
//! and file events seen in it, a login, a discovery. What happens depends on the seed and the number of the step alone,
//! only the times on the time given, so a simulation can stop anywhere and go on later with the next step.

mod alert;
mod catalog;
mod connection;
mod dice;
mod file;
mod flow;
mod host;
mod intrusion;
mod names;
mod packet;
mod policy;
mod rules;
mod template;
#[cfg(test)]
mod tests;
mod world;

use catalog::Catalog;
use connection::ConnectionWriter;
use dice::Dice;
use file::FileWriter;
use flow::{Flow, Scribe};
use intrusion::IntrusionWriter;
use names::Service;
use policy::{BLOCK, Purpose, Reason};
use rules::Scene;
use template::Template;
use thiserror::Error;
use wire::event::{Event, NoField, UnknownRecord};
use wire::record::RecordError;
use world::{Role, Signature, World};

pub use catalog::Metadata;

/// Purposes of dice.
const STEP: u64 = 1;
const BURST: u64 = 2;

/// In each run of so many steps there is one burst of attacks.
const BURST_PERIOD: u64 = 1024;

/// The longest burst, in steps.
const BURST_LONGEST: u32 = 64;

/// Record types are below this.
const KINDS: usize = 1024;

/// The simulator and the protocol's layouts do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SimulatorError {
    /// A field the simulator sets is not in the layout.
    #[error("the simulator cannot write a record: {0}; build the simulator and the wire library from the same release")]
    Field(#[from] NoField),
    /// A record type the simulator writes has no layout.
    #[error("the simulator cannot write a record: {0}; build the simulator and the wire library from the same release")]
    Record(#[from] UnknownRecord),
    /// A block the simulator writes has no layout.
    #[error(
        "the simulator cannot write block {0} of series 1: it is not in the schema; build the simulator and the wire library from the same release"
    )]
    UnknownBlock(u32),
    /// A record the simulator encoded cannot be decoded.
    #[error(
        "the simulator's own metadata cannot be read: {0}; build the simulator and the wire library from the same release"
    )]
    Decode(#[from] RecordError),
    /// A record in the catalog is no metadata.
    #[error(
        "record {0} names nothing, so it cannot be in the catalog; build the simulator and the wire library from the same release"
    )]
    NotMetadata(u16),
}

/// When a step happens.
#[derive(Debug, Clone, Copy)]
struct Moment {
    second: u32,
    microsecond: u32,
}

/// What steps gave; reuse it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generated {
    /// The records back to back, each a bundle item: message type 4, length, record. The record header is the long one
    /// with archival timestamp 0, for whoever archives it to fill in.
    pub events: Vec<u8>,
    /// Where each record ends in `events`.
    pub ends: Vec<usize>,
    /// The type of each record.
    pub types: Vec<u16>,
    /// What the records refer to: indices into [`Simulator::catalog`], in order, often the same again. A client needs
    /// these metadata records before the events.
    pub refers: Vec<u32>,
}

impl Generated {
    /// Nothing yet.
    pub fn new() -> Self {
        Generated::default()
    }

    /// Forgets what is in it and keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.ends.clear();
        self.types.clear();
        self.refers.clear();
    }

    /// The bundle items one by one.
    pub fn items(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.events.get(start..*end).unwrap_or_default())
    }

    fn push(&mut self, template: &mut Template) {
        template.emit(&mut self.events);
        self.ends.push(self.events.len());
        self.types.push(template.record_type());
    }

    fn push_event(&mut self, event: &Event) {
        event.encode_item(Some(0), &mut self.events);
        self.ends.push(self.events.len());
        self.types.push(event.record().record_type);
    }
}

/// Makes records.
#[derive(Debug)]
pub struct Simulator {
    seed: u64,
    world: World,
    catalog: Vec<Metadata>,
    connections: ConnectionWriter,
    intrusions: IntrusionWriter,
    files: FileWriter,
    kinds: Vec<u64>,
}

impl Simulator {
    /// Builds the world of a seed.
    ///
    /// # Errors
    /// Only when this crate and the `wire` crate are of different releases.
    pub fn new(seed: u64) -> Result<Self, SimulatorError> {
        let mut catalog = Catalog::default();
        let world = World::new(seed, &mut catalog)?;
        Ok(Simulator {
            seed,
            world,
            catalog: catalog.items,
            connections: ConnectionWriter::new()?,
            intrusions: IntrusionWriter::new()?,
            files: FileWriter::new()?,
            kinds: vec![0; KINDS],
        })
    }

    /// All metadata records of the world, each key once.
    pub fn catalog(&self) -> &[Metadata] {
        &self.catalog
    }

    /// How many records of each type this simulator has made, by rising record type.
    pub fn kinds(&self) -> impl Iterator<Item = (u16, u64)> {
        self.kinds.iter().enumerate().filter(|(_, count)| **count != 0).map(|(kind, count)| (kind as u16, *count))
    }

    /// Appends the records of step number `step`, which happens at the Unix second `now` and `microsecond` (below
    /// 1,000,000). Steps need not come in order: each depends on the seed and its number alone.
    ///
    /// # Errors
    /// Only when this crate and the `wire` crate are of different releases.
    pub fn step(&mut self, step: u64, now: u32, microsecond: u32, out: &mut Generated) -> Result<(), SimulatorError> {
        let first = out.types.len();
        let moment = Moment { second: now, microsecond: microsecond.min(999_999) };
        let dice = &mut Dice::new(self.seed, STEP, step);
        if let Some(attacker) = self.burst(step)
            && dice.chance(750)
        {
            let scene =
                *dice.pick(&[Scene::InboundWeb, Scene::InboundWeb, Scene::InboundWeb, Scene::InboundSsh, Scene::Ping]);
            self.attack(step, moment, Some(attacker), Some(scene), dice, out);
        } else {
            match dice.below(10_000) {
                0..365 => host::user_activity(&self.world, moment, dice, out)?,
                365..487 => host::discovery(&self.world, moment, dice, out)?,
                487..609 => self.files.endpoint(&self.world, moment, dice, out),
                609..1150 => self.attack(step, moment, None, None, dice, out),
                1150..1690 => self.transfer(step, moment, dice, out),
                _ => {
                    let flow = Scribe { world: &self.world, dice, step, now }.everyday();
                    flow.refer(&self.world, &mut out.refers);
                    self.connections.write(&self.world, &flow, moment, dice, out);
                }
            }
        }
        for kind in out.types.get(first..).unwrap_or_default() {
            if let Some(count) = self.kinds.get_mut(usize::from(*kind)) {
                *count += 1;
            }
        }
        Ok(())
    }

    /// Who attacks in this step's burst, if there is one.
    fn burst(&self, step: u64) -> Option<usize> {
        let mut dice = Dice::new(self.seed, BURST, step / BURST_PERIOD);
        let start = u64::from(dice.below(BURST_PERIOD as u32 - BURST_LONGEST));
        let length = u64::from(dice.range(24, BURST_LONGEST));
        let attacker = dice.below(self.world.strangers.len() as u32) as usize;
        (start..start + length).contains(&(step % BURST_PERIOD)).then_some(attacker)
    }

    /// A connection in which intrusion rules match.
    fn attack(
        &mut self,
        step: u64,
        moment: Moment,
        attacker: Option<usize>,
        scene: Option<Scene>,
        dice: &mut Dice,
        out: &mut Generated,
    ) {
        let world = &self.world;
        let stranger = attacker.map_or_else(|| dice.pick(&world.strangers), |i| &world.strangers[i]);
        let scene = scene.unwrap_or_else(|| dice.pick(&world.signatures).rule.scene);
        let count = match dice.below(100) {
            0..60 => 1,
            60..90 => 2,
            90..97 => 3,
            _ => intrusion::MOST,
        };
        let mut matching: [&Signature; intrusion::MOST as usize] = [&world.signatures[0]; intrusion::MOST as usize];
        for signature in matching.iter_mut().take(count as usize) {
            *signature = of_scene(world, scene, dice);
        }
        let matching = &matching[..count as usize];
        let mut flow = Scribe { world, dice, step, now: moment.second }.attack(scene, stranger);
        if matches!(scene, Scene::InboundWeb | Scene::OutboundWeb) {
            let rule = matching[0].rule;
            flow.path = rule.payload;
            flow.pretence = Some(rule.agent);
        }
        if scene == Scene::InboundWeb && dice.chance(250) {
            flow.original = Some(dice.pick(&world.strangers));
        }
        let dropped = matching.iter().any(|signature| signature.rule.drop);
        let reason = if dropped { Reason::IntrusionBlock } else { Reason::IntrusionMonitor };
        flow.reason = Some(world.terms.reason(reason));
        if dropped {
            flow.action = BLOCK;
        }
        flow.intrusions = count as u16;
        flow.refer(world, &mut out.refers);
        for (nth, signature) in matching.iter().enumerate() {
            self.intrusions.write(world, &flow, signature, (step, nth as u64), moment, dice, out);
        }
        self.connections.write(world, &flow, moment, dice, out);
    }

    /// A connection in which a file is sent.
    fn transfer(&mut self, step: u64, moment: Moment, dice: &mut Dice, out: &mut Generated) {
        let world = &self.world;
        let file = dice.pick(&world.files);
        let (kind, upload) = (dice.below(100), dice.chance(300));
        let mut scribe = Scribe { world, dice, step, now: moment.second };
        let (mut flow, upload): (Flow, bool) = match kind {
            0..70 => (scribe.browse(Service::Http), false),
            70..85 => (scribe.inside(Service::Smtp, Role::Mail, Purpose::Mail), true),
            _ => (scribe.inside(Service::Smb, Role::Files, Purpose::Internal), upload),
        };
        if !flow.blocked() {
            if flow.website.is_some() {
                flow.asked = file::source_of(file, flow.website.map_or("", |site| site.host), dice);
                flow.path = &file.path;
            }
            let malware = file.disposition == file::MALWARE;
            flow.reason = Some(world.terms.reason(if malware { Reason::FileBlock } else { Reason::FileMonitor }));
            if malware {
                flow.action = BLOCK;
            }
            flow.files = 1;
        }
        flow.refer(world, &mut out.refers);
        if flow.files != 0 {
            self.files.write(world, &flow, file, upload, dice, out);
        }
        self.connections.write(world, &flow, moment, dice, out);
    }
}

/// A rule of a scene: the first of it from a random place.
fn of_scene<'w>(world: &'w World, scene: Scene, dice: &mut Dice) -> &'w Signature {
    let start = dice.below(world.signatures.len() as u32) as usize;
    let all = world.signatures.iter().cycle().skip(start).take(world.signatures.len());
    all.clone().find(|signature| signature.rule.scene == scene).unwrap_or(&world.signatures[start])
}
